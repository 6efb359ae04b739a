//! openraft's log store: the tail in front of the log on the disk.

use crate::heal::Healer;
use crate::tail::{Gap, Tail, View};
use crate::types::{self, LogId, RaftEntry, TypeConfig, Vote};
use crate::writer::{Done, Queue, Request};
use futures_util::stream::{self, Stream, StreamExt};
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use seedlog_log::{Checkpoint, Entry, ReadError, Reader};
use seedlog_runtime::{blocking, buggify, clock, watch};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;

/// How much one read hands over at most, about.
const READ_BYTES_MAX: usize = 2 << 20;
/// How often what was put right may turn out to be wrong again, within one read.
const HEALED_MAX: u32 = 3;
/// How long an append waits for the snapshot that it follows.
const INSTALL_MAX: Duration = Duration::from_secs(10);

/// What the store and the writer both know.
pub struct Held {
    tail: Mutex<Tail>,
    /// [`Tail::durable_end`], for those who wait for it.
    durable_end: watch::Sender<u64>,
    /// As on the disk.
    vote: Mutex<Option<Vote>>,
    committed: Mutex<Option<LogId>>,
    /// Index of the first entry that still has a file.
    first_on_disk: watch::Sender<u64>,
}

impl Held {
    pub fn new(tail: Tail, vote: Option<Vote>, committed: Option<LogId>) -> Held {
        Held {
            durable_end: watch::channel(tail.durable_end()).0,
            first_on_disk: watch::channel(tail.purged().map_or(0, |purged| purged.index + 1)).0,
            tail: Mutex::new(tail),
            vote: Mutex::new(vote),
            committed: Mutex::new(committed),
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("no holder panics")
    }

    /// Entries up to `upto`, appended in `epoch`, are durable.
    pub fn synced(&self, upto: u64, epoch: u64) {
        let mut tail = self.tail();
        tail.synced(upto, epoch);
        self.publish(&tail);
    }

    pub fn freed(&self, first_on_disk: u64) {
        self.first_on_disk.send(first_on_disk);
    }

    pub fn committed(&self) -> Option<LogId> {
        *self.committed.lock().expect("no holder panics")
    }

    fn publish(&self, tail: &Tail) {
        let end = tail.durable_end();
        self.durable_end.send_if_modified(|held| std::mem::replace(held, end) != end);
    }
}

#[derive(Clone)]
pub struct Store {
    held: Arc<Held>,
    queue: Queue,
    reader: Reader,
    healer: Healer,
}

impl Store {
    pub fn new(held: Arc<Held>, queue: Queue, reader: Reader, healer: Healer) -> Store {
        Store { held, queue, reader, healer }
    }

    pub fn vote(&self) -> Option<Vote> {
        *self.held.vote.lock().expect("no holder panics")
    }

    pub fn tail(&self) -> MutexGuard<'_, Tail> {
        self.held.tail()
    }

    pub fn committed(&self) -> Option<LogId> {
        self.held.committed()
    }

    pub fn healer(&self) -> &Healer {
        &self.healer
    }

    /// Returns when everything up to `index` is on this node's disk: only then does the disk's log show
    /// what was committed there, and not what a truncation under way is about to remove.
    pub async fn durable(&self, index: u64) {
        let mut end = self.held.durable_end.subscribe();
        // It cannot be closed: `held` has the sender.
        let _ = end.wait_for(|end| *end > index).await;
    }

    /// The newest checkpoint on the disk that a trim to `first_offset` allows and that is part of what is applied up to
    /// `applied_index`. What is applied may not be on this node's disk yet: there may still be what a truncation
    /// under way removes, and a checkpoint in it is of entries that were never committed.
    pub fn checkpoint_for_trim(&self, first_offset: u64, applied_index: u64) -> Option<Checkpoint> {
        let durable = self.tail().durable_end().checked_sub(1)?;
        self.reader.checkpoint_for_trim(first_offset, applied_index.min(durable))
    }

    /// Returns when no entry up to `index` has a file any more.
    pub async fn freed(&self, index: u64) {
        let mut first = self.held.first_on_disk.subscribe();
        // As above.
        let _ = first.wait_for(|first| *first > index).await;
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Makes the log start behind `checkpoint`, durably.
    pub async fn install(&self, checkpoint: Checkpoint) -> io::Result<()> {
        let last = checkpoint.last;
        self.ask(|done| Request::Install { checkpoint, done }).await?;
        let mut tail = self.held.tail();
        if let Some(last) = last {
            tail.install(last);
        }
        self.held.publish(&tail);
        Ok(())
    }

    async fn ask(&self, request: impl FnOnce(Done) -> Request) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(request(done))?;
        answer.await.map_err(|_| ended())?
    }

    fn send(&self, request: Request) -> io::Result<()> {
        self.queue.send(request).map_err(|_| ended())
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        convert(self.log_entries(range, bytes_max).await?)
    }

    /// Entries of `range`, from its start on, at least one if the log has any of it.
    pub async fn log_entries(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut healed = 0;
        loop {
            let View { disk, held, epoch } = self.held.tail().view(range.clone(), bytes_max);
            if disk.is_empty() {
                return Ok(held);
            }
            let reader = self.reader.clone();
            let wanted = disk.clone();
            let read = blocking(move || reader.entries(wanted.start, wanted.end, bytes_max)).await;
            if self.held.tail().epoch() != epoch {
                // A truncation came between: what was read may not be the log any more.
                continue;
            }
            let mut entries = match read {
                Ok(entries) => entries,
                Err(ReadError::Purged { first_index, .. }) if first_index <= range.end => {
                    // Freed since we looked; the tail knows by now.
                    if self.held.tail().view(range.clone(), 0).disk.start >= first_index {
                        continue;
                    }
                    return Err(io::Error::other(format!("entries before {first_index} are gone and were not purged")));
                }
                Err(error) => {
                    self.heal(&error, &mut healed).await.map_err(|_| io::Error::other(error))?;
                    continue;
                }
            };
            match entries.last() {
                None => return Err(io::Error::other(format!("entry {} is not on the disk", disk.start))),
                Some(last) if last.id.index + 1 == disk.end => entries.extend(held),
                Some(_) => {}
            }
            return Ok(entries);
        }
    }

    /// Returns when it is worth while to read again what could not be read, for the `healed`th time.
    ///
    /// # Errors
    /// If it is not.
    pub async fn heal(&self, error: &ReadError, healed: &mut u32) -> Result<(), String> {
        *healed += 1;
        match error.index_at() {
            Some(index) if *healed <= HEALED_MAX => self.healer.heal(index).await,
            _ => Err(error.to_string()),
        }
    }

    /// The part of `range` that the log has.
    fn clip(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let tail = self.held.tail();
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let end = end.min(tail.next_index());
        start.max(tail.purged().map_or(0, |purged| purged.index + 1)).min(end)..end
    }
}

fn ended() -> io::Error {
    io::Error::other("the log's writer has ended")
}

fn convert(entries: Vec<Entry>) -> io::Result<Vec<RaftEntry>> {
    entries.into_iter().map(types::from_log).collect::<Result<_, _>>().map_err(io::Error::other)
}

impl RaftLogStorage<TypeConfig> for Store {
    type LogReader = Store;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let tail = self.held.tail();
        Ok(LogState {
            last_purged_log_id: tail.purged().map(types::log_id),
            last_log_id: tail.last().map(types::log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Store {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.ask(|done| Request::Vote { vote: *vote, done }).await?;
        *self.held.vote.lock().expect("no holder panics") = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        *self.held.committed.lock().expect("no holder panics") = committed;
        match committed {
            Some(committed) => self.send(Request::Committed { index: committed.index }),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.committed())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().map(|entry| types::to_log(&entry)).collect();
        let mut durable_end = self.held.durable_end.subscribe();
        let fits = |gap: &Gap, end: &u64| gap.found.index <= *end;
        loop {
            let gap = {
                // Under the lock: the queue's order is the tail's.
                let mut tail = self.held.tail();
                match tail.append(&entries) {
                    Ok(()) => return self.send(Request::Append { entries, epoch: tail.epoch(), flushed }),
                    Err(gap) => gap,
                }
            };
            // openraft installs a snapshot from another task than the one that appends what follows it.
            let ahead = gap.last.map_or(0, |last| last.index + 1) < gap.found.index;
            let installed = clock::timeout(INSTALL_MAX, durable_end.wait_for(|end| fits(&gap, end)));
            if !ahead || installed.await.is_err() {
                return Err(io::Error::other(gap));
            }
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let mut tail = self.held.tail();
        if let Some(from) = tail.truncate_after(last.as_ref().map(types::entry_id)) {
            self.held.publish(&tail);
            self.send(Request::Truncate { from })?;
        }
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut tail = self.held.tail();
        let upto = types::entry_id(&upto);
        if tail.next_index() <= upto.index {
            // A snapshot ahead of the log is installed first, and moves its start.
            return Err(io::Error::other(format!("purge up to {upto}, past the log's end")));
        }
        tail.purge(upto);
        self.send(Request::Purge { upto: upto.index })
    }
}

impl RaftLogReader<TypeConfig> for Store {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<RaftEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let Range { mut start, end } = self.clip(&range);
        let mut all = Vec::new();
        while start < end {
            let entries = self.read(start..end, READ_BYTES_MAX).await?;
            let Some(last) = entries.last() else { break };
            start = last.index() + 1;
            all.extend(entries);
        }
        Ok(all)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        let bytes_max = if buggify!("few_entries") { 1 } else { READ_BYTES_MAX };
        let mut entries = self.read(start..end, bytes_max).await?;
        if entries.first().is_some_and(|first| first.index() != start) {
            // Purged. An answer that starts later would be taken for the entry asked for; an error is
            // fatal to openraft. To nothing it answers with a pause, and then finds the snapshot.
            entries.clear();
        }
        Ok(entries)
    }

    /// In stretches, so that what is being applied does not have to fit into memory.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<RaftEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let range = self.clip(&range);
        let stretches = stream::unfold((self.clone(), range), |(store, range)| async move {
            if range.is_empty() {
                return None;
            }
            let read = store.read(range.clone(), READ_BYTES_MAX).await;
            let next = read.as_ref().ok().and_then(|entries| entries.last()).map_or(range.end, |e| e.index() + 1);
            Some((read, (store, next..range.end)))
        });
        Box::pin(stretches.flat_map(flatten))
    }
}

fn flatten<E: Send>(stretch: Result<Vec<RaftEntry>, E>) -> impl Stream<Item = Result<RaftEntry, E>> + Send {
    let (entries, error) = match stretch {
        Ok(entries) => (entries, None),
        Err(error) => (Vec::new(), Some(Err(error))),
    };
    stream::iter(entries.into_iter().map(Ok).chain(error))
}

#[cfg(test)]
mod tests;
