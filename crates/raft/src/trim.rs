//! Giving space back. The trim point is committed like a record, so that every replica trims the same;
//! what can be freed for it, each replica frees by itself: whole segments, once a snapshot covers them.

use crate::applied::Progress;
use crate::error::TrimError;
use crate::node::Node;
use crate::store::Store;
use crate::types::{self, Raft};
use openraft::async_runtime::WatchReceiver as _;
use seedlog_log::{Command, EntryId, Outcome};
use seedlog_runtime::{select, watch};

impl Node {
    /// Gives up the records before `first_offset`; returns the log's first offset, which is at most
    /// the one asked for and never past the end. On this node their space is free by then, as far as
    /// they fill whole segments.
    ///
    /// # Errors
    /// If it was not committed, or the node stopped before the space was free.
    pub async fn trim(&self, first_offset: u64) -> Result<u64, TrimError> {
        let outcome = self.submit_command(Command::Trim { first_offset }).await?;
        let Outcome::Trimmed { first_offset } = outcome else {
            unreachable!("a trim was proposed, and its entry was applied as {outcome:?}")
        };
        let mut freed = self.freed().subscribe();
        select! {
            // It closes only when the node stops.
            _ = freed.wait_for(|freed| *freed >= first_offset) => {}
            reason = self.stopped() => return Err(TrimError::Stopped(reason)),
        }
        Ok(first_offset)
    }
}

/// Follows the trim point and frees what it allows, on every node, until the node stops. `freed` says
/// up to which trim point that is done.
pub async fn follow(raft: Raft, store: Store, progress: Progress, freed: watch::Sender<u64>) {
    let mut done = 0;
    loop {
        let applied = progress.wait_for(|applied| applied.first_offset > done).await;
        let index = applied.last.map_or(0, |last| last.index);
        // What is applied comes to this disk soon, and what is freed for it is on the disk.
        let mut metrics = raft.metrics();
        let ended = async { while metrics.changed().await.is_ok() {} };
        select! {
            () = store.durable(index) => {}
            () = ended => return,
        }
        let chosen = store.checkpoint_for_trim(applied.first_offset, index);
        if let Some(upto) = chosen.and_then(|checkpoint| checkpoint.last)
            && free(&raft, &store, upto).await.is_none()
        {
            return;
        }
        done = applied.first_offset;
        freed.send(done);
    }
}

/// `None` if the node stopped.
async fn free(raft: &Raft, store: &Store, upto: EntryId) -> Option<()> {
    let mut metrics = raft.metrics();
    raft.trigger().snapshot().await.ok()?;
    while metrics.borrow_watched().snapshot < Some(types::log_id(upto)) {
        metrics.changed().await.ok()?;
    }
    raft.trigger().purge_log(upto.index).await.ok()?;
    while metrics.borrow_watched().purged < Some(types::log_id(upto)) {
        metrics.changed().await.ok()?;
    }
    store.freed(upto.index).await;
    Some(())
}
