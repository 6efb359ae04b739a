//! The end of the log in memory: what was appended and is not yet durable, and a bounded stretch
//! before it that saves reading back what was just written.
//!
//! The disk always lags behind what Raft was told. The tail is what makes the two one log:
//!
//! ```text
//!   disk:    purged | entries that are only there | durable, also held | stale after a truncation
//!   tail:                                         [ durable            | not yet durable ]
//!                                           held_from                              next_index
//! ```
//! A reader takes from the disk only what lies before `held_from`, and never anything at or past
//! `next_index`: what a truncation left there is out of reach before the writer has removed it.

use seedlog_log::{Entry, EntryId};
use seedlog_runtime::buggify;
use std::collections::VecDeque;
use std::ops::Range;

pub struct Tail {
    /// Counts truncations. A batch written before one says nothing about entries appended after it.
    epoch: u64,
    purged: Option<EntryId>,
    last: Option<EntryId>,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// How many of `held`, from the front, are durable.
    durable: usize,
    keep_bytes_max: usize,
}

struct Held {
    epoch: u64,
    entry: Entry,
}

/// An append that does not follow the last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {found} does not follow entry {}", last.map_or("(none)".into(), |last| last.to_string()))]
pub struct Gap {
    pub last: Option<EntryId>,
    pub found: EntryId,
}

/// A read, split: the disk's part first.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    pub disk: Range<u64>,
    pub held: Vec<Entry>,
    /// What is read from the disk counts only while the tail is still in this epoch.
    pub epoch: u64,
}

impl Tail {
    /// A tail that holds nothing: all up to `last` is durable.
    pub fn new(purged: Option<EntryId>, last: Option<EntryId>, keep_bytes_max: usize) -> Tail {
        Tail { epoch: 0, purged, last, held: VecDeque::new(), held_bytes: 0, durable: 0, keep_bytes_max }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last entry, durable or not; the last purged one if there is none behind it.
    pub fn last(&self) -> Option<EntryId> {
        self.last
    }

    pub fn purged(&self) -> Option<EntryId> {
        self.purged
    }

    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index + 1)
    }

    pub fn next_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }

    fn held_from(&self) -> u64 {
        self.next_index() - self.held.len() as u64
    }

    /// Index after the last entry that is durable, and that no pending truncation takes away.
    pub fn durable_end(&self) -> u64 {
        self.held_from() + self.durable as u64
    }

    /// # Errors
    /// [`Gap`], and nothing is changed, if an entry does not follow the one before it.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), Gap> {
        let mut last = self.last;
        for entry in entries {
            let follows = match last {
                None => entry.id.index == 0,
                Some(last) => entry.id.index == last.index + 1 && entry.id.term >= last.term,
            };
            if !follows {
                return Err(Gap { last, found: entry.id });
            }
            last = Some(entry.id);
        }
        self.last = last;
        self.held_bytes += entries.iter().map(weight).sum::<usize>();
        self.held.extend(entries.iter().map(|entry| Held { epoch: self.epoch, entry: entry.clone() }));
        Ok(())
    }

    /// Takes back everything after `last`. Nothing to do if that is the end already, or past it.
    /// Returns the first index taken.
    pub fn truncate_after(&mut self, last: Option<EntryId>) -> Option<u64> {
        let from = last.map_or(0, |last| last.index + 1).max(self.first_index());
        if from >= self.next_index() {
            return None;
        }
        self.epoch += 1;
        let keep = from.saturating_sub(self.held_from()) as usize;
        for taken in self.held.drain(keep..) {
            self.held_bytes -= weight(&taken.entry);
        }
        self.durable = self.durable.min(keep);
        self.last = last.max(self.purged);
        Some(from)
    }

    /// Entries up to `upto` will not be read again.
    pub fn purge(&mut self, upto: EntryId) {
        self.purged = self.purged.max(Some(upto));
        while self.held.front().is_some_and(|held| held.entry.id.index <= upto.index) && self.durable > 0 {
            self.forget_front();
        }
    }

    /// The log starts anew behind `last`, unless it already reaches there.
    pub fn install(&mut self, last: EntryId) {
        self.purged = self.purged.max(Some(last));
        if self.next_index() <= last.index {
            self.epoch += 1;
            self.held.clear();
            self.held_bytes = 0;
            self.durable = 0;
            self.last = Some(last);
        } else {
            self.purge(last);
        }
    }

    /// Entries up to `upto`, appended in `epoch`, are durable.
    pub fn synced(&mut self, upto: u64, epoch: u64) {
        while self.held.get(self.durable).is_some_and(|held| held.entry.id.index <= upto && held.epoch <= epoch) {
            self.durable += 1;
        }
        let keep_bytes_max = if buggify!("tail_forgotten") { 0 } else { self.keep_bytes_max };
        while self.held_bytes > keep_bytes_max && self.durable > 0 {
            self.forget_front();
        }
    }

    fn forget_front(&mut self) {
        let forgotten = self.held.pop_front().expect("what is durable is held");
        self.held_bytes -= weight(&forgotten.entry);
        self.durable -= 1;
    }

    /// Where the entries of `range` are to be found; what the log does not have is left out at
    /// either end.
    pub fn view(&self, range: Range<u64>, bytes_max: usize) -> View {
        let from = range.start.max(self.first_index()).min(self.next_index());
        let to = range.end.min(self.next_index()).max(from);
        let disk = from..to.min(self.held_from()).max(from);
        let mut held = Vec::new();
        if to > self.held_from() {
            let at = from.saturating_sub(self.held_from()) as usize;
            let mut bytes = 0;
            for Held { entry, .. } in self.held.range(at..(to - self.held_from()) as usize) {
                if bytes > 0 && bytes + entry.payload.len() > bytes_max {
                    break;
                }
                bytes += entry.payload.len();
                held.push(entry.clone());
            }
        }
        View { disk, held, epoch: self.epoch }
    }
}

/// What holding an entry costs, about.
fn weight(entry: &Entry) -> usize {
    entry.payload.len() + size_of::<Held>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use seedlog_log::Kind;

    fn id(term: u64, index: u64) -> EntryId {
        EntryId { term, index }
    }

    fn entries(term: u64, indexes: Range<u64>) -> Vec<Entry> {
        let entry =
            |index| Entry { id: id(term, index), kind: Kind::Records, time_ms: 0, payload: Bytes::from_static(b"12") };
        indexes.map(entry).collect()
    }

    /// What a reader of the whole log gets: the disk's indexes, and the ids held.
    fn seen(tail: &Tail) -> (Range<u64>, Vec<EntryId>) {
        let view = tail.view(0..u64::MAX, usize::MAX);
        (view.disk, view.held.iter().map(|entry| entry.id).collect())
    }

    /// Ten durable entries of term 1, of which the tail holds none.
    fn ten() -> Tail {
        Tail::new(None, Some(id(1, 9)), 0)
    }

    #[test]
    fn appended_entries_are_seen_at_once_and_on_the_disk_once_synced() {
        let mut tail = ten();
        tail.append(&entries(1, 10..13)).unwrap();
        assert_eq!(seen(&tail), (0..10, vec![id(1, 10), id(1, 11), id(1, 12)]));
        assert_eq!(tail.durable_end(), 10);
        tail.synced(11, 0);
        assert_eq!(seen(&tail), (0..12, vec![id(1, 12)]));
        assert_eq!(tail.durable_end(), 12);
    }

    #[test]
    fn behind_the_end_there_is_nothing() {
        let mut tail = ten();
        tail.append(&entries(1, 10..13)).unwrap();
        for range in [13..14, 20..30, 5..5] {
            let view = tail.view(range, 0);
            assert!(view.disk.is_empty() && view.held.is_empty());
        }
    }

    #[test]
    fn what_is_durable_stays_at_hand_up_to_a_limit() {
        let mut tail = Tail::new(None, None, 2 * weight(&entries(1, 0..1)[0]));
        tail.append(&entries(1, 0..5)).unwrap();
        tail.synced(3, 0);
        assert_eq!(seen(&tail), (0..3, vec![id(1, 3), id(1, 4)]));
        assert_eq!(tail.durable_end(), 4);
    }

    #[test]
    fn stale_entries_on_the_disk_are_out_of_reach_at_once() {
        let mut tail = ten();
        assert_eq!(tail.truncate_after(Some(id(1, 4))), Some(5));
        assert_eq!(seen(&tail), (0..5, vec![]));
        assert_eq!((tail.last(), tail.durable_end()), (Some(id(1, 4)), 5));
        tail.append(&entries(2, 5..7)).unwrap();
        assert_eq!(seen(&tail), (0..5, vec![id(2, 5), id(2, 6)]));
    }

    #[test]
    fn a_batch_written_before_a_truncation_does_not_vouch_for_what_came_after() {
        let mut tail = ten();
        tail.append(&entries(1, 10..14)).unwrap();
        let old = tail.epoch();
        tail.truncate_after(Some(id(1, 11)));
        tail.append(&entries(2, 12..15)).unwrap();
        tail.synced(13, old);
        assert_eq!(seen(&tail), (0..12, vec![id(2, 12), id(2, 13), id(2, 14)]));
        assert_eq!(tail.durable_end(), 12);
        tail.synced(14, tail.epoch());
        assert_eq!(seen(&tail), (0..15, vec![]));
    }

    #[test]
    fn a_truncation_past_the_end_is_nothing() {
        let mut tail = ten();
        assert_eq!(tail.truncate_after(Some(id(1, 9))), None);
        assert_eq!(tail.truncate_after(Some(id(1, 30))), None);
        assert_eq!((tail.epoch(), tail.last()), (0, Some(id(1, 9))));
    }

    #[test]
    fn truncating_all_leaves_what_was_purged() {
        let mut tail = ten();
        tail.purge(id(1, 3));
        assert_eq!(tail.truncate_after(None), Some(4));
        assert_eq!((tail.last(), tail.next_index()), (Some(id(1, 3)), 4));
        assert_eq!(seen(&tail), (4..4, vec![]));
    }

    #[test]
    fn what_is_purged_is_left_out() {
        let mut tail = ten();
        tail.append(&entries(1, 10..12)).unwrap();
        tail.purge(id(1, 3));
        assert_eq!(seen(&tail), (4..10, vec![id(1, 10), id(1, 11)]));
        assert_eq!(tail.view(0..2, usize::MAX).disk, 4..4);
    }

    #[test]
    fn an_installed_snapshot_ahead_of_the_log_replaces_it_and_one_inside_purges() {
        let mut tail = ten();
        tail.install(id(2, 20));
        assert_eq!((tail.purged(), tail.last(), tail.durable_end()), (Some(id(2, 20)), Some(id(2, 20)), 21));
        tail.append(&entries(2, 21..23)).unwrap();
        tail.install(id(2, 21));
        assert_eq!(seen(&tail), (22..22, vec![id(2, 22)]));
    }

    #[test]
    fn a_gap_is_refused_and_changes_nothing() {
        let mut tail = ten();
        assert_eq!(tail.append(&entries(1, 11..12)), Err(Gap { last: Some(id(1, 9)), found: id(1, 11) }));
        let mut unordered = entries(2, 10..11);
        unordered.extend(entries(1, 11..12));
        assert_eq!(tail.append(&unordered), Err(Gap { last: Some(id(2, 10)), found: id(1, 11) }));
        assert_eq!(seen(&tail), (0..10, vec![]));
    }

    #[test]
    fn a_read_is_cut_by_bytes_but_never_to_nothing() {
        let mut tail = ten();
        tail.append(&entries(1, 10..15)).unwrap();
        assert_eq!(tail.view(11..15, 5).held.len(), 2);
        assert_eq!(tail.view(11..15, 1).held.len(), 1);
    }
}
