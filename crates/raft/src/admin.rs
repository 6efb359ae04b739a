//! What an administrator asks of the log besides a trim.

use crate::applied::Applied;
use crate::error::{ProduceError, ReadError};
use crate::node::Node;
use seedlog_log::{Command, Fence, LastBatch, Outcome, Retention};
use seedlog_runtime::blocking;

/// The log, as Raft confirms it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    pub first_offset: u64,
    pub next_offset: u64,
    /// Append time of the last entry, milliseconds since 1970.
    pub last_time_ms: u64,
    pub fence: Fence,
    pub retention: Retention,
    /// How many producers are remembered.
    pub producers: usize,
    /// On this node.
    pub segments: usize,
    /// Of this node's stores, with what is written ahead.
    pub bytes: u64,
}

impl Node {
    /// From here on a produce with an older token is refused, and one without if `fence.required`.
    ///
    /// # Errors
    /// [`seedlog_log::Refusal::Fenced`] if the log's token is newer already.
    pub async fn fence(&self, fence: Fence) -> Result<Fence, ProduceError> {
        match self.submit_command(Command::Fence(fence)).await? {
            Outcome::Fenced(fence) => Ok(fence),
            other => unreachable!("a fence was proposed, and its entry was applied as {other:?}"),
        }
    }

    /// From here on the leader trims what exceeds `retention`, in whole segments.
    ///
    /// # Errors
    /// If it was not committed.
    pub async fn set_retention(&self, retention: Retention) -> Result<Retention, ProduceError> {
        match self.submit_command(Command::SetRetention(retention)).await? {
            Outcome::RetentionSet(retention) => Ok(retention),
            other => unreachable!("a retention was proposed, and its entry was applied as {other:?}"),
        }
    }

    /// Where this producer is, if it is remembered: as it was when this was called, or later.
    ///
    /// # Errors
    /// As [`Node::describe`].
    pub async fn producer(&self, id: &str) -> Result<Option<LastBatch>, ReadError> {
        self.linearize().await?;
        Ok(self.fold().lock().expect("no holder panics").state.producers.last(id.as_bytes()))
    }

    /// # Errors
    /// If this node does not lead, or no majority answers.
    pub async fn describe(&self) -> Result<Description, ReadError> {
        let Applied { first_offset, next_offset, time_ms, fence, retention, producers, .. } = self.linearize().await?;
        let reader = self.store().reader().clone();
        let (segments, bytes) = blocking(move || (reader.segments(), reader.bytes())).await;
        let bytes = bytes?;
        Ok(Description {
            first_offset,
            next_offset,
            last_time_ms: time_ms,
            fence,
            retention,
            producers,
            segments,
            bytes,
        })
    }
}
