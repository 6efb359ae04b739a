//! What a node gives to one that has lost entries: those alone that are certain to be the ones that were there, or to
//! have been committed in their place.

use crate::store::Store;
use crate::wire;
use seedlog_api::raft_v1 as v1;
use seedlog_log::{Checkpoint, Entry, EntryId, Lender};
use seedlog_runtime::blocking;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use tonic::Status;

/// Payload in one answer, about.
const ANSWER_BYTES: usize = 2 << 20;

/// A log that entries are read from.
pub trait Source: Sync {
    /// All entries up to here are committed.
    fn committed(&self) -> Option<u64>;

    /// The fold before its first entry.
    fn start(&self) -> Checkpoint;

    /// Those of `range` that it has, from the start on, or none.
    fn entries(&self, range: Range<u64>, bytes_max: usize) -> impl Future<Output = Result<Vec<Entry>, String>> + Send;
}

impl Source for Store {
    fn committed(&self) -> Option<u64> {
        Store::committed(self).map(|committed| committed.index)
    }

    fn start(&self) -> Checkpoint {
        self.reader().first_checkpoint()
    }

    async fn entries(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, String> {
        self.log_entries(range, bytes_max).await.map_err(|error| error.to_string())
    }
}

impl Source for Arc<Lender> {
    fn committed(&self) -> Option<u64> {
        Lender::committed(self)
    }

    fn start(&self) -> Checkpoint {
        self.first_checkpoint()
    }

    async fn entries(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, String> {
        let lender = self.clone();
        let read = blocking(move || Lender::entries(&lender, range.start, range.end, bytes_max)).await;
        read.map_err(|error| error.to_string())
    }
}

/// What is asked for, and what the asking node knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub entries: Range<u64>,
    pub before: Option<EntryId>,
    pub then: Option<EntryId>,
    pub committed: bool,
}

/// What it is held against: what this log has in the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Here {
    committed: Option<u64>,
    before: Option<EntryId>,
    /// The last one that is asked for.
    last: Option<EntryId>,
    then: Option<EntryId>,
}

#[derive(Debug, PartialEq, Eq)]
enum Not {
    /// What the asking node has there is not what was committed.
    Superseded(u64),
    /// It was trimmed: what it gave, up to where the log starts.
    Trimmed(Box<Checkpoint>),
    Given(String),
}

impl Asked {
    /// # Errors
    /// If it names no entries.
    pub fn of(request: &v1::EntriesRequest) -> Result<Asked, Status> {
        if request.from >= request.to {
            let v1::EntriesRequest { from, to, .. } = request;
            return Err(Status::invalid_argument(format!("no entries are asked for: {from}..{to}")));
        }
        let id = |id: v1::LogId| EntryId { term: id.term, index: id.index };
        Ok(Asked {
            entries: request.from..request.to,
            before: request.before.map(id),
            then: request.then.map(id),
            committed: request.committed,
        })
    }

    pub fn request(&self, route: Option<v1::Route>) -> v1::EntriesRequest {
        let id = |EntryId { term, index }| v1::LogId { term, index };
        v1::EntriesRequest {
            route,
            from: self.entries.start,
            to: self.entries.end,
            before: self.before.map(id),
            then: self.then.map(id),
            committed: self.committed,
        }
    }

    fn last(&self) -> u64 {
        self.entries.end - 1
    }

    /// What the last one was, for certain: terms grow along a log, and what lies on both sides is of the same.
    fn last_id(&self) -> Option<EntryId> {
        let term = self.then?.term;
        self.before.filter(|before| before.term == term).map(|_| EntryId { term, index: self.last() })
    }

    /// Whether what this log has is what the asking node lost.
    ///
    /// Two logs that have one entry in common have all before it in common; and what is committed at an index is the
    /// same everywhere.
    fn check(&self, here: Here) -> Result<(), Not> {
        let committed_here = here.committed >= Some(self.last());
        if self.committed && committed_here || here.last.is_some() && here.last == self.last_id() {
            return Ok(());
        }
        let Some(link) = self.then.or(self.before) else {
            return if committed_here { Ok(()) } else { Err(not_yet(here)) };
        };
        let found = if self.then.is_some() { here.then } else { here.before };
        match found {
            Some(found) if found == link && (self.then.is_some() || committed_here) => Ok(()),
            Some(found) if found == link => Err(not_yet(here)),
            Some(_) if here.committed >= Some(link.index) => Err(Not::Superseded(link.index)),
            _ => Err(Not::Given(format!("it does not have entry {link}"))),
        }
    }
}

fn not_yet(here: Here) -> Not {
    Not::Given(match here.committed {
        Some(index) => format!("it knows entries up to {index} to be committed"),
        None => "it knows no entry to be committed".to_owned(),
    })
}

/// What there is to say to it.
pub async fn answer(source: &impl Source, asked: &Asked) -> v1::EntriesResponse {
    match lend(source, asked).await {
        Ok(entries) => v1::EntriesResponse {
            entries: entries.into_iter().map(wire::of_log).collect(),
            ..v1::EntriesResponse::default()
        },
        Err(Not::Superseded(index)) => {
            v1::EntriesResponse { superseded: Some(index), ..v1::EntriesResponse::default() }
        }
        Err(Not::Trimmed(start)) => {
            v1::EntriesResponse { checkpoint: start.encode(), ..v1::EntriesResponse::default() }
        }
        Err(Not::Given(refused)) => v1::EntriesResponse { refused, ..v1::EntriesResponse::default() },
    }
}

/// The entries of an answer, from the first that was asked for on.
///
/// # Errors
/// Why there are none, or that they are of no use.
pub fn understand(response: v1::EntriesResponse, asked: &Asked) -> Result<Vec<Entry>, String> {
    if response.entries.is_empty() {
        return Err(response.refused);
    }
    let entries: Result<Vec<Entry>, _> = response.entries.into_iter().map(wire::for_log).collect();
    let entries = entries.map_err(|malformed| malformed.to_string())?;
    let wanted = asked.entries.clone().take(entries.len());
    if !entries.iter().map(|entry| entry.id.index).eq(wanted) {
        return Err("entries that were not asked for".to_owned());
    }
    Ok(entries)
}

async fn lend(source: &impl Source, asked: &Asked) -> Result<Vec<Entry>, Not> {
    let start = source.start();
    if asked.entries.start < start.next_index() {
        return Err(Not::Trimmed(Box::new(start)));
    }
    asked.check(look(source, asked).await?)?;
    let entries = source.entries(asked.entries.clone(), ANSWER_BYTES).await.map_err(Not::Given)?;
    if entries.first().is_none_or(|first| first.id.index != asked.entries.start) {
        return Err(Not::Given(format!("it does not have entry {} any more", asked.entries.start)));
    }
    // A truncation may have come between.
    asked.check(look(source, asked).await?)?;
    Ok(entries)
}

async fn look(source: &impl Source, asked: &Asked) -> Result<Here, Not> {
    let is_committed = asked.committed && source.committed() >= Some(asked.last());
    Ok(Here {
        before: id_at(source, asked.before).await?,
        last: id_at(source, asked.last_id().filter(|_| !is_committed)).await?,
        then: id_at(source, asked.then).await?,
        // Last: what is committed stays.
        committed: source.committed(),
    })
}

async fn id_at(source: &impl Source, id: Option<EntryId>) -> Result<Option<EntryId>, Not> {
    let Some(EntryId { index, .. }) = id else { return Ok(None) };
    let entries = source.entries(index..index + 1, 0).await.map_err(Not::Given)?;
    Ok(entries.first().map(|entry| entry.id).filter(|id| id.index == index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> Option<EntryId> {
        Some(EntryId { term, index })
    }

    fn asked(before: Option<EntryId>, then: Option<EntryId>, committed: bool) -> Asked {
        Asked { entries: 5..8, before, then, committed }
    }

    fn is_given(result: &Result<(), Not>) -> bool {
        matches!(result, Err(Not::Given(_)))
    }

    #[test]
    fn what_both_know_to_be_committed_is_given() {
        let asked = asked(id(1, 4), id(1, 8), true);
        assert_eq!(asked.check(Here { committed: Some(7), ..Here::default() }), Ok(()));
        assert!(is_given(&asked.check(Here { committed: Some(6), ..Here::default() })));
    }

    #[test]
    fn what_comes_before_a_common_entry_is_given_committed_or_not() {
        let asked = asked(id(1, 4), id(2, 8), false);
        assert_eq!(asked.check(Here { then: id(2, 8), ..Here::default() }), Ok(()));
        // Not even what is committed here, if the asking node goes on with something else.
        let other = Here { committed: Some(9), before: id(1, 4), then: id(3, 8), last: None };
        assert_eq!(asked.check(other), Err(Not::Superseded(8)));
        assert!(is_given(&asked.check(Here { committed: Some(7), ..other })));
        assert!(is_given(&asked.check(Here { committed: Some(9), before: id(1, 4), ..Here::default() })));
    }

    #[test]
    fn what_lies_between_two_of_one_term_is_given_by_whoever_has_the_last_of_it_in_that_term() {
        let between = asked(id(2, 4), id(2, 8), true);
        assert_eq!(between.check(Here { before: id(2, 4), last: id(2, 7), committed: Some(4), then: None }), Ok(()));
        assert!(is_given(&between.check(Here { before: id(2, 4), last: id(1, 7), committed: Some(4), then: None })));
        let of_two = asked(id(1, 4), id(2, 8), true);
        assert!(is_given(&of_two.check(Here { before: id(1, 4), last: id(2, 7), committed: Some(4), then: None })));
    }

    #[test]
    fn at_the_end_of_a_log_what_was_committed_there_is_given_behind_a_common_entry() {
        let asked = asked(id(2, 4), None, false);
        let same = Here { committed: Some(7), before: id(2, 4), ..Here::default() };
        assert_eq!(asked.check(same), Ok(()));
        assert!(is_given(&asked.check(Here { committed: Some(6), ..same })));
        let other = Here { before: id(3, 4), ..same };
        assert_eq!(asked.check(other), Err(Not::Superseded(4)));
        assert!(is_given(&asked.check(Here { committed: Some(3), ..other })));
        assert!(is_given(&asked.check(Here { before: None, ..same })));
    }

    #[test]
    fn a_log_that_lost_its_first_entries_gets_what_was_committed_there() {
        let asked = Asked { entries: 0..3, before: None, then: None, committed: false };
        assert_eq!(asked.check(Here { committed: Some(2), ..Here::default() }), Ok(()));
        assert!(is_given(&asked.check(Here { committed: Some(1), ..Here::default() })));
        assert!(is_given(&asked.check(Here::default())));
    }
}
