//! The one ordered queue in front of the disk: everything this group writes goes through it, in the
//! order in which it was asked for.
//!
//! Group commit: what is queued is written as one batch and synced once; while it syncs, the next
//! batch gathers in the queue. Only appends merge. A failed step is final: nothing is retried, and all
//! that is queued behind it fails with the same reason.

use crate::space::Space;
use crate::stop::Stop;
use crate::store::Held;
use crate::types::{TypeConfig, Vote};
use crate::vote::VoteFile;
use openraft::storage::IOFlushed;
use seedlog_log::{Checkpoint, Entry, Reader, Remade, WriteError};
use seedlog_runtime::{blocking, blocking_in_turn, buggify, clock, spawn};
use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Payload in one batch, about.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// After this long without a batch, the last one is sealed.
const IDLE: Duration = Duration::from_millis(100);

pub type Done = oneshot::Sender<io::Result<()>>;

pub enum Request {
    Append {
        entries: Vec<Entry>,
        /// The tail's when they were appended.
        epoch: u64,
        flushed: IOFlushed<TypeConfig>,
    },
    Committed {
        index: u64,
    },
    Truncate {
        from: u64,
    },
    Purge {
        upto: u64,
    },
    Vote {
        vote: Vote,
        done: Done,
    },
    Install {
        checkpoint: Checkpoint,
        done: Done,
    },
    /// Whatever comes next goes into another segment than the one with this entry.
    Close {
        index: u64,
        done: Done,
    },
    /// Puts a segment that was made anew in its place. False if that is not there any more.
    Adopt {
        remade: Box<Remade>,
        done: oneshot::Sender<io::Result<bool>>,
    },
    /// Time to look whether the log is idle.
    Tick,
    /// Finish what is queued, seal, and end.
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

pub type Queue = mpsc::UnboundedSender<Request>;

/// What the writer works with.
pub struct Parts {
    pub log: seedlog_log::Writer,
    pub reader: Reader,
    pub vote: VoteFile,
    pub held: Arc<Held>,
    pub space: Arc<Space>,
    pub stop: Stop,
}

/// Starts the writer's task. It ends on [`Request::Shutdown`], or when nobody can ask any more.
pub fn start(parts: Parts) -> Queue {
    let (queue, requests) = mpsc::unbounded_channel();
    let Parts { log, reader, vote, held, space, stop } = parts;
    let writer = Writer {
        log: Some(log),
        reader,
        vote,
        held,
        space,
        stop: stop.clone(),
        failed: None,
        requests,
        queue: queue.downgrade(),
        pending: VecDeque::new(),
        idle: Idle { since: clock::now(), armed: false, due: false },
    };
    drop(spawn(async move {
        let _fuse = Fuse { stop };
        writer.run().await;
    }));
    queue
}

/// A writer that panics must not leave a node behind that looks alive.
struct Fuse {
    stop: Stop,
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.fail("the log's writer panicked");
        }
    }
}

struct Idle {
    /// The last batch.
    since: clock::Instant,
    /// A tick is under way: there is never more than one.
    armed: bool,
    due: bool,
}

struct Writer {
    /// `None` while a blocking step has it.
    log: Option<seedlog_log::Writer>,
    reader: Reader,
    vote: VoteFile,
    held: Arc<Held>,
    space: Arc<Space>,
    stop: Stop,
    failed: Option<String>,
    requests: mpsc::UnboundedReceiver<Request>,
    queue: mpsc::WeakUnboundedSender<Request>,
    pending: VecDeque<Request>,
    idle: Idle,
}

impl Writer {
    async fn run(mut self) {
        self.arm();
        while let Some(request) = self.next().await {
            if self.failed.is_some() {
                if let Some(done) = self.refuse(request) {
                    return drop(done);
                }
                continue;
            }
            match request {
                Request::Append { .. } => {
                    self.pending.push_front(request);
                    self.batch().await;
                }
                Request::Committed { index } => self.log().set_committed(index),
                Request::Truncate { from } => drop(self.write(move |log| log.truncate_from(from)).await),
                Request::Purge { upto } => {
                    self.write(move |log| log.purge(upto)).await;
                    self.held.freed(self.reader.first_index());
                }
                Request::Vote { vote, done } => {
                    let file = self.vote.clone();
                    let saved = blocking(move || file.save(&vote)).await;
                    self.note(saved);
                    self.answer(done);
                }
                Request::Install { checkpoint, done } => {
                    self.write(move |log| log.install(&checkpoint)).await;
                    self.answer(done);
                }
                Request::Close { index, done } => {
                    self.write(move |log| log.close(index)).await;
                    self.answer(done);
                }
                Request::Adopt { remade, done } => {
                    let adopted = self.write(move |log| log.adopt(&remade)).await;
                    // Whoever asked may have gone.
                    let _ = done.send(self.outcome().map(|()| adopted.unwrap_or_default()));
                }
                Request::Tick => self.tick().await,
                Request::Shutdown { done } => {
                    if self.log().unsealed() {
                        self.write(seedlog_log::Writer::seal).await;
                    }
                    return drop(done);
                }
            }
        }
    }

    /// The next request, with all that is queued behind it gathered in `pending`.
    async fn next(&mut self) -> Option<Request> {
        if self.pending.is_empty() && !self.idle.due {
            let request = self.requests.recv().await?;
            self.gather(request);
        }
        while let Ok(request) = self.requests.try_recv() {
            self.gather(request);
        }
        if let Some(request) = self.pending.pop_front() {
            return Some(request);
        }
        self.idle.due = false;
        Some(Request::Tick)
    }

    /// A tick takes no place in the order: it must not split a batch.
    fn gather(&mut self, request: Request) {
        match request {
            Request::Tick => (self.idle.armed, self.idle.due) = (false, true),
            request => self.pending.push_back(request),
        }
    }

    /// Writes and syncs the appends at the front of the queue as one batch.
    async fn batch(&mut self) {
        let (mut batch, mut bytes, mut flushed) = (Vec::new(), 0, Vec::new());
        let mut epoch = 0;
        loop {
            match self.pending.pop_front() {
                Some(Request::Append { mut entries, epoch: appended_in, flushed: callback }) => {
                    let rest = entries.split_off(fitting(&entries, &mut bytes));
                    if !entries.is_empty() {
                        epoch = appended_in;
                    }
                    batch.append(&mut entries);
                    if rest.is_empty() {
                        flushed.push(callback);
                        if buggify!("small_batch") {
                            break;
                        }
                        continue;
                    }
                    let rest = Request::Append { entries: rest, epoch: appended_in, flushed: callback };
                    self.pending.push_front(rest);
                    break;
                }
                // It was asked for after every truncation before it, and none lies between.
                Some(Request::Committed { index }) => self.log().set_committed(index),
                Some(other) => {
                    self.pending.push_front(other);
                    break;
                }
                None => break,
            }
        }
        let upto = batch.last().map(|entry| entry.id.index);
        let space = self.space.clone();
        let log = self.log.take().expect("no step is under way");
        let sync = move |log: &mut seedlog_log::Writer| {
            log.sync()?;
            space.look();
            Ok(())
        };
        let (log, result) = blocking_in_turn(log, move |log| log.write(&batch), sync).await;
        self.log = Some(log);
        self.note(result);
        if self.failed.is_none()
            && let Some(upto) = upto
        {
            self.held.synced(upto, epoch);
        }
        for callback in flushed {
            callback.io_completed(self.outcome());
        }
        self.idle.since = clock::now();
        self.arm();
    }

    async fn tick(&mut self) {
        if self.idle.since.elapsed() < IDLE && !buggify!("early_seal") {
            self.arm();
        } else if self.log().unsealed() {
            self.write(seedlog_log::Writer::seal).await;
        }
    }

    /// Sees to it that a tick comes if there is something to seal.
    fn arm(&mut self) {
        if self.idle.armed || self.failed.is_some() || !self.log().unsealed() {
            return;
        }
        self.idle.armed = true;
        let (queue, at) = (self.queue.clone(), self.idle.since + IDLE);
        drop(spawn(async move {
            clock::sleep_until(at).await;
            if let Some(queue) = queue.upgrade() {
                // A writer that has ended needs no tick.
                let _ = queue.send(Request::Tick);
            }
        }));
    }

    fn log(&mut self) -> &mut seedlog_log::Writer {
        self.log.as_mut().expect("no step is under way")
    }

    /// One blocking step on the log. A failure is noted, for good.
    async fn write<F, R>(&mut self, step: F) -> Option<R>
    where
        F: FnOnce(&mut seedlog_log::Writer) -> Result<R, WriteError> + Send + 'static,
        R: Send + 'static,
    {
        let mut log = self.log.take().expect("no step is under way");
        let (log, result) = blocking(move || {
            let result = step(&mut log);
            (log, result)
        })
        .await;
        self.log = Some(log);
        self.note(result)
    }

    fn note<R>(&mut self, result: Result<R, impl Display>) -> Option<R> {
        let error = match result {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        let reason = error.to_string();
        self.stop.fail(&reason);
        self.failed.get_or_insert(reason);
        None
    }

    fn outcome(&self) -> io::Result<()> {
        self.failed.as_ref().map_or(Ok(()), |reason| Err(io::Error::other(reason.clone())))
    }

    fn answer(&self, done: Done) {
        // Whoever asked may have gone.
        let _ = done.send(self.outcome());
    }

    /// Returns whom to tell if it was the last request.
    fn refuse(&self, request: Request) -> Option<oneshot::Sender<()>> {
        match request {
            Request::Append { flushed, .. } => flushed.io_completed(self.outcome()),
            Request::Vote { done, .. } | Request::Install { done, .. } | Request::Close { done, .. } => {
                self.answer(done);
            }
            // As above.
            Request::Adopt { done, .. } => drop(done.send(self.outcome().map(|()| false))),
            Request::Shutdown { done } => return Some(done),
            Request::Committed { .. } | Request::Truncate { .. } | Request::Purge { .. } | Request::Tick => {}
        }
        None
    }
}

/// How many of `entries` a batch of `bytes` still takes: at least one if it is empty.
fn fitting(entries: &[Entry], bytes: &mut usize) -> usize {
    for (at, entry) in entries.iter().enumerate() {
        if *bytes > 0 && *bytes + entry.payload.len() > BATCH_BYTES_MAX {
            return at;
        }
        *bytes += entry.payload.len();
    }
    entries.len()
}

#[cfg(test)]
mod tests;
