//! Writing: one produce call is one Raft entry. Calls that arrive together share a write and a sync:
//! openraft takes all that is in its queue as one append, and the writer takes all appends that are in
//! its own as one batch. No task of ours stands in between, so none can lose a call or delay one.

use crate::error::{LeaderHint, ProduceError};
use crate::node::Node;
use crate::stop::StopReason;
use crate::types::{Proposal, Response, TypeConfig};
use bytes::Bytes;
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::impls::OneshotResponder;
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::OneshotReceiverOf;
use seedlog_log::{Command, Outcome, RecordBatch};
use seedlog_runtime::clock;
use tokio::sync::OwnedSemaphorePermit;

/// What an entry takes on the disk beyond its records, at most: headers of batch and frame, padding, a
/// row of the index, its conditions. The reserve must hold all that is in flight, tiny records too.
const ENTRY_OVERHEAD_BYTES: usize = 288;

/// Records that are durable, on a majority, at these offsets, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    pub first_offset: u64,
    pub count: u32,
    pub term: u64,
    /// They were there before the call: an earlier one had the same producer and sequence.
    pub repeated: bool,
}

/// A proposal under way. Dropping it takes nothing back.
pub struct Pending {
    answer: OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>,
    node: Node,
    /// Room in memory, given back with the answer.
    _room: OwnedSemaphorePermit,
}

impl Node {
    /// Appends the batch, atomically, if its conditions hold; returns when it is synced, committed and
    /// applied.
    ///
    /// # Errors
    /// All but [`ProduceError::Unknown`] say that nothing was appended.
    pub async fn produce(&self, batch: impl Into<RecordBatch>) -> Result<Produced, ProduceError> {
        self.propose(batch).await?.outcome().await
    }

    /// The first half of [`Node::produce`]: hands the records over and returns. Of two calls by the
    /// same task, one after the other, the first one's records come first in the log.
    ///
    /// # Errors
    /// As [`Node::produce`].
    pub async fn propose(&self, batch: impl Into<RecordBatch>) -> Result<Pending, ProduceError> {
        let batch = batch.into();
        if batch.records.is_empty() {
            return Err(ProduceError::Empty);
        }
        let max = self.config().produce_bytes_max;
        // Before the records are copied together, since it is meant to bound that too.
        let bytes = batch.records.iter().fold(8, |sum: usize, record| sum.saturating_add(4 + record.len()));
        if bytes > max {
            return Err(ProduceError::TooLarge { bytes, max });
        }
        self.submit(bytes, false, || batch.encode()).await
    }

    pub(crate) async fn submit_command(&self, command: Command) -> Result<Outcome, ProduceError> {
        let pending = self.submit(0, true, || command.encode()).await?;
        match pending.answer().await?.1.outcome {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(outcome),
        }
    }

    async fn submit(
        &self,
        bytes: usize,
        command: bool,
        payload: impl FnOnce() -> Bytes,
    ) -> Result<Pending, ProduceError> {
        self.check_running()?;
        let held = if command { bytes } else { bytes + ENTRY_OVERHEAD_BYTES };
        let permits = held.min(self.config().in_flight_bytes_max) as u32;
        let room = self.in_flight().acquire_many_owned(permits).await;
        let room = room.map_err(|_closed| ProduceError::Stopped(self.stop_reason_or_shutdown()))?;
        // A trim makes room: it is what the reserve is kept for.
        if !command && let Err(full) = self.space().admit().await {
            let (free_bytes, reserve_bytes) = (full.free_bytes, full.reserve_bytes);
            return Err(ProduceError::DiskFull { free_bytes, reserve_bytes });
        }
        self.check_running()?;
        let (responder, answer) = OneshotResponder::new_pair();
        let time_ms = clock::wall_ms();
        if let Some(behind_ms) = self.late_clock().look(time_ms, self.progress().now().time_ms) {
            tracing::warn!(
                behind_ms,
                "this node's clock is behind the log's last append time: append times stand still until it has caught \
                 up; nothing is lost. Set the clock, if it is wrong"
            );
        }
        let proposal = Proposal { command, time_ms, payload: payload() };
        match self.raft().client_write_ff(proposal, Some(responder)).await {
            Ok(()) => Ok(Pending { answer, node: self.clone(), _room: room }),
            // It was not taken.
            Err(fatal) => Err(ProduceError::Stopped(self.stopped_by(&fatal))),
        }
    }

    fn check_running(&self) -> Result<(), ProduceError> {
        self.stop_reason().map_or(Ok(()), |reason| Err(ProduceError::Stopped(reason)))
    }

    fn stop_reason_or_shutdown(&self) -> StopReason {
        self.stop_reason().unwrap_or(StopReason::Shutdown)
    }
}

impl Pending {
    /// # Errors
    /// As [`Node::produce`].
    pub async fn outcome(self) -> Result<Produced, ProduceError> {
        let (term, Response { outcome }) = self.answer().await?;
        match outcome {
            Outcome::Appended { first_offset, count } => Ok(Produced { first_offset, count, term, repeated: false }),
            Outcome::Repeated { first_offset, count } => Ok(Produced { first_offset, count, term, repeated: true }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => unreachable!("records were proposed, and their entry was applied as {other:?}"),
        }
    }

    /// The entry's term, and what applying it gave.
    async fn answer(self) -> Result<(u64, Response), ProduceError> {
        match self.answer.await {
            Ok(Ok(response)) => Ok((response.log_id.leader_id.term, response.data)),
            // Told apart by variant: openraft's own conversion also takes a discarded entry for one that
            // was never appended.
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProduceError::NotLeader { leader: leader_hint(forward) })
            }
            Ok(Err(error)) => Err(ProduceError::Unknown { reason: error.to_string() }),
            // The node has stopped with the proposal in it.
            Err(_) => {
                let reason = self.node.stop_reason_or_shutdown().to_string();
                Err(ProduceError::Unknown { reason })
            }
        }
    }
}

pub(crate) fn leader_hint(forward: ForwardToLeader<TypeConfig>) -> Option<LeaderHint> {
    let peer = forward.leader_node?;
    Some(LeaderHint { node_id: forward.leader_id?, rpc_addr: peer.rpc_addr })
}
