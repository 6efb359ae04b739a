//! openraft's state machine: the fold, and snapshots that are a point in it.
//!
//! A snapshot never holds records. It is the fold's value at the boundary of a segment, which is on the
//! disk already (the segment's `.state`), so that building one writes nothing.

use crate::applied::{Applied, Progress};
use crate::store::Store;
use crate::types::{self, LogId, Response, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use futures_util::stream::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use seedlog_log::Checkpoint;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Entries applied before those who wait are told.
const STRETCH: usize = 256;

/// The fold, for whoever asks for what [`Applied`] leaves out.
pub type Fold = Arc<Mutex<Checkpoint>>;

pub struct Machine {
    fold: Fold,
    progress: Progress,
    store: Store,
    current: CurrentSnapshot,
}

/// The snapshot to give to a replica that is behind the log's start. Never older than what was purged.
#[derive(Clone)]
struct CurrentSnapshot {
    checkpoint: Arc<Mutex<Option<Checkpoint>>>,
}

impl CurrentSnapshot {
    fn get(&self) -> Option<Checkpoint> {
        self.checkpoint.lock().expect("no holder panics").clone()
    }

    /// Returns the newer of the two, which is the current one now.
    fn advance(&self, to: Option<Checkpoint>) -> Option<Checkpoint> {
        let mut current = self.checkpoint.lock().expect("no holder panics");
        if to.as_ref().map(|to| to.last) > current.as_ref().map(|current| current.last) {
            *current = to;
        }
        current.clone()
    }
}

impl Machine {
    /// A machine that has applied what `fold` says. `start` is the fold before the log's first entry.
    pub fn new(fold: Checkpoint, start: Checkpoint, store: Store, progress: Progress) -> Machine {
        let start = Some(start).filter(|start| start.last.is_some());
        progress.publish(Applied::from(&fold));
        let fold = Arc::new(Mutex::new(fold));
        Machine { fold, progress, store, current: CurrentSnapshot { checkpoint: Arc::new(Mutex::new(start)) } }
    }

    pub fn shared_fold(&self) -> Fold {
        self.fold.clone()
    }

    fn fold(&self) -> MutexGuard<'_, Checkpoint> {
        self.fold.lock().expect("no holder panics")
    }

    /// Those who are answered find what they wrote readable.
    fn answer(&self, answers: &mut Vec<(ApplyResponder<TypeConfig>, Response)>) {
        let applied = Applied::from(&*self.fold());
        self.progress.publish(applied);
        for (responder, response) in answers.drain(..) {
            responder.send(response);
        }
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Checkpoint;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let fold = self.fold();
        let membership = types::stored_membership(&fold).map_err(io::Error::other)?;
        Ok((fold.last.map(types::log_id), membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        let mut applied = 0;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let entry = types::to_log(&entry);
            let folded = self.fold().apply(&entry);
            let outcome = folded.map_err(|error| io::Error::other(format!("apply entry {}: {error}", entry.id)))?;
            if let Some(responder) = responder {
                answers.push((responder, Response { outcome }));
            }
            applied += 1;
            if applied % STRETCH == 0 {
                self.answer(&mut answers);
            }
        }
        self.answer(&mut answers);
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { fold: self.fold().clone(), store: self.store.clone(), current: self.current.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Checkpoint) -> io::Result<()> {
        if meta.last_log_id != snapshot.last.map(types::log_id) {
            return Err(io::Error::other("the snapshot's last entry is not the one its description says"));
        }
        self.store.install(snapshot.clone()).await?;
        self.current.advance(Some(snapshot.clone()));
        self.progress.publish(Applied::from(&snapshot));
        *self.fold() = snapshot;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.current.get().map(types::snapshot_of).transpose().map_err(io::Error::other)
    }
}

/// Chooses the newest segment boundary at or below the trim point.
pub struct Builder {
    fold: Checkpoint,
    store: Store,
    current: CurrentSnapshot,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Checkpoint;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let chosen =
            self.fold.last.and_then(|last| self.store.checkpoint_for_trim(self.fold.state.first_offset, last.index));
        // Nothing trimmed yet: the empty one, which openraft takes for none.
        let checkpoint = self.current.advance(chosen).unwrap_or_default();
        types::snapshot_of(checkpoint).map_err(io::Error::other)
    }
}
