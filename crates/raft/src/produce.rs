//! Writing: one produce call is one Raft entry. Calls that arrive together share a write and a sync:
//! openraft takes all that is in its queue as one append, and the writer takes all appends that are in
//! its own as one batch. No task of ours stands in between, so none can lose a call or delay one.

use crate::error::ProduceError;
use crate::leader::{self, Leading};
use crate::node::Node;
use crate::peer::Applied;
use crate::space::{Full, Promised};
use crate::stop::StopReason;
use crate::types::{Proposal, Response, TypeConfig};
use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::impls::OneshotResponder;
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::OneshotReceiverOf;
use seedlog_log::{Command, Outcome, RecordBatch};
use seedlog_runtime::clock::{self, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What an entry takes on the disk beyond its records, at most: headers of batch and frame, padding, a
/// row of the index, its conditions. The reserve must hold all that is in flight, tiny records too.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 288;

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
    answer: Answer,
    node: Node,
    /// When its outcome is unknown, whoever waits for it and since when.
    deadline: Instant,
    /// Room in memory, given back with the answer.
    _room: OwnedSemaphorePermit,
    /// Room on the disk of the node that appends it.
    _promised: Option<Promised>,
}

enum Answer {
    Here(OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>),
    /// From the leader, who was asked.
    There(oneshot::Receiver<Applied>),
}

impl Node {
    /// Appends the batch, atomically, if its conditions hold; returns when it is synced, committed and
    /// applied. A node that does not lead passes it on to the one that does, and waits for one a while.
    ///
    /// # Errors
    /// All but [`ProduceError::Unknown`] say that nothing was appended.
    pub async fn produce(&self, batch: impl Into<RecordBatch>) -> Result<Produced, ProduceError> {
        let batch = batch.into();
        let bytes = self.check_size(&batch)?;
        produced(self.persist(bytes, false, batch.encode()).await?)
    }

    /// The first half of [`Node::produce`]: hands the records over and returns. Of two calls by the
    /// same task, one after the other, the first one's records come first in the log. Not tried again.
    ///
    /// # Errors
    /// As [`Node::produce`].
    pub async fn propose(&self, batch: impl Into<RecordBatch>) -> Result<Pending, ProduceError> {
        let batch = batch.into();
        let bytes = self.check_size(&batch)?;
        let leading = self.leader(clock::now() + self.config().leader_wait_max).await;
        self.submit(&leading, bytes, false, batch.encode()).await
    }

    fn check_size(&self, batch: &RecordBatch) -> Result<usize, ProduceError> {
        if batch.records.is_empty() {
            return Err(ProduceError::Empty);
        }
        let max = self.config().produce_bytes_max;
        // Before the records are copied together, since it is meant to bound that too.
        let bytes = batch.records.iter().fold(8, |sum: usize, record| sum.saturating_add(4 + record.len()));
        if bytes > max {
            return Err(ProduceError::TooLarge { bytes, max });
        }
        Ok(bytes)
    }

    pub(crate) async fn submit_command(&self, command: Command) -> Result<Outcome, ProduceError> {
        match self.persist(0, true, command.encode()).await?.1 {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(outcome),
        }
    }

    /// Proposes it until somebody takes it: as long as it is certain that nobody has.
    async fn persist(&self, bytes: usize, command: bool, payload: Bytes) -> Applied {
        let deadline = clock::now() + self.config().leader_wait_max;
        let mut tried = None;
        loop {
            let leading = self.leader_but(tried.as_ref(), deadline).await;
            let applied = match self.submit(&leading, bytes, command, payload.clone()).await {
                Ok(pending) => pending.applied().await,
                Err(refused) => Err(refused),
            };
            match applied {
                Err(ProduceError::NotLeader { .. }) if clock::now() < deadline => tried = Some(leading),
                applied => return applied,
            }
        }
    }

    async fn submit(
        &self,
        leading: &Leading,
        bytes: usize,
        command: bool,
        payload: Bytes,
    ) -> Result<Pending, ProduceError> {
        self.check_running()?;
        let leader = match leading {
            Leading::Here => None,
            Leading::There(leader) => Some(leader),
            Leading::Nobody => return Err(ProduceError::NotLeader { leader: None }),
        };
        let room = self.room(bytes, command).await?;
        let Some(leader) = leader else { return self.append(command, payload, room).await };
        let answer = Answer::There(self.forwarder().submit(leader, command, payload));
        Ok(self.pending(answer, room, None))
    }

    /// For another node, which takes this one for the leader: it goes no further than here.
    pub(crate) async fn propose_here(&self, command: bool, payload: Bytes) -> Result<Pending, ProduceError> {
        let room = self.room(payload.len(), command).await?;
        self.append(command, payload, room).await
    }

    async fn room(&self, bytes: usize, command: bool) -> Result<OwnedSemaphorePermit, ProduceError> {
        let held = if command { 0 } else { bytes + ENTRY_OVERHEAD_BYTES };
        let permits = held.min(self.config().in_flight_bytes_max) as u32;
        let room = self.in_flight().acquire_many_owned(permits).await;
        room.map_err(|_closed| ProduceError::Stopped(self.stop_reason_or_shutdown()))
    }

    async fn append(&self, command: bool, payload: Bytes, room: OwnedSemaphorePermit) -> Result<Pending, ProduceError> {
        // A trim makes room: it is what the reserve is kept for.
        let promised = if command {
            None
        } else {
            let bytes = (payload.len() + ENTRY_OVERHEAD_BYTES) as u64;
            let full = |Full { wanted_bytes, free_bytes, reserve_bytes }| {
                self.refused_for_room().send_modify(|count| *count += 1);
                ProduceError::DiskFull { wanted_bytes, free_bytes, reserve_bytes }
            };
            Some(self.space().admit(bytes).await.map_err(full)?)
        };
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
        let proposal = Proposal { command, time_ms, payload };
        match self.raft().client_write_ff(proposal, Some(responder)).await {
            Ok(()) => Ok(self.pending(Answer::Here(answer), room, promised)),
            // It was not taken.
            Err(fatal) => Err(ProduceError::Stopped(self.stopped_by(&fatal))),
        }
    }

    fn pending(&self, answer: Answer, room: OwnedSemaphorePermit, promised: Option<Promised>) -> Pending {
        let deadline = clock::now() + self.config().answer_max;
        Pending { answer, node: self.clone(), deadline, _room: room, _promised: promised }
    }

    fn check_running(&self) -> Result<(), ProduceError> {
        self.stop_reason().map_or(Ok(()), |reason| Err(ProduceError::Stopped(reason)))
    }

    fn stop_reason_or_shutdown(&self) -> StopReason {
        self.stop_reason().unwrap_or(StopReason::Shutdown)
    }
}

fn produced((term, outcome): (u64, Outcome)) -> Result<Produced, ProduceError> {
    match outcome {
        Outcome::Appended { first_offset, count } => Ok(Produced { first_offset, count, term, repeated: false }),
        Outcome::Repeated { first_offset, count } => Ok(Produced { first_offset, count, term, repeated: true }),
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(ProduceError::Unknown { reason: format!("records were proposed, and applied as {other:?}") }),
    }
}

impl Pending {
    /// # Errors
    /// As [`Node::produce`].
    pub async fn outcome(self) -> Result<Produced, ProduceError> {
        produced(self.applied().await?)
    }

    /// The entry's term, and what applying it gave.
    pub(crate) async fn applied(self) -> Applied {
        let Pending { answer, node, deadline, _room, _promised } = self;
        let applied = async {
            match answer {
                Answer::Here(answer) => here(&node, answer.await.ok()),
                // Dropped before it was sent.
                Answer::There(answer) => answer.await.unwrap_or(Err(ProduceError::NotLeader { leader: None })),
            }
        };
        let late = |_| {
            let longest = node.config().answer_max;
            Err(ProduceError::Unknown { reason: format!("it is not committed after {longest:?}") })
        };
        clock::timeout(deadline - clock::now(), applied).await.unwrap_or_else(late)
    }
}

fn here(node: &Node, answer: Option<ClientWriteResult<TypeConfig>>) -> Applied {
    match answer {
        Some(Ok(response)) => {
            let Response { outcome } = response.data;
            Ok((response.log_id.leader_id.term, outcome))
        }
        // Told apart by variant: openraft's own conversion also takes a discarded entry for one that
        // was never appended.
        Some(Err(ClientWriteError::ForwardToLeader(forward))) => {
            Err(ProduceError::NotLeader { leader: leader::hint(forward) })
        }
        Some(Err(error)) => Err(ProduceError::Unknown { reason: error.to_string() }),
        // The node has stopped with the proposal in it.
        None => Err(ProduceError::Unknown { reason: node.stop_reason_or_shutdown().to_string() }),
    }
}
