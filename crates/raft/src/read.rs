//! Reading. A committed record never changes, so what is applied here is served from here; only a miss
//! ("is there anything past here yet?") asks Raft.

use crate::applied::Applied;
use crate::error::ReadError;
use crate::leader::{Leading, hint};
use crate::node::Node;
use crate::peer::why_not;
use crate::types::LogId;
use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use seedlog_log::{self as log, EntryId, Reader, Record};
use seedlog_runtime::{blocking, clock, select};
use std::ops::Range;

impl Node {
    /// Records from `from_offset` on: at least one, at most `records_max`, and no more than about
    /// `bytes_max` bytes unless the first alone has more.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] only after Raft has confirmed that there is nothing there.
    pub async fn read(&self, from_offset: u64, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, ReadError> {
        let mut applied = self.progress().now();
        if from_offset >= applied.next_offset {
            applied = self.linearize().await?;
        }
        let Applied { first_offset, next_offset, .. } = applied;
        if !(first_offset..next_offset).contains(&from_offset) {
            return Err(ReadError::OutOfRange { asked: from_offset, first: first_offset, next: next_offset });
        }
        self.durable(applied.last).await?;
        let read = move |reader: &Reader| reader.records(from_offset, next_offset, records_max.max(1), bytes_max);
        match self.read_with(read).await {
            // Trimmed, and freed, since we looked.
            Err(ReadError::Log(log::ReadError::Trimmed { .. } | log::ReadError::Purged { .. })) => {
                let Applied { first_offset, next_offset, .. } = self.progress().now();
                let kept = self.store().reader().first_offset_kept();
                let (first, next) = (first_offset.max(kept), next_offset.max(kept));
                Err(ReadError::OutOfRange { asked: from_offset, first, next })
            }
            records => records,
        }
    }

    /// Waits for what is damaged and can be put right, for as long as for a leader.
    async fn read_with<T, F>(&self, read: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Fn(&Reader) -> Result<T, log::ReadError> + Clone + Send + 'static,
    {
        let deadline = clock::now() + self.config().leader_wait_max;
        let mut healed = 0;
        loop {
            let (reader, read) = (self.store().reader().clone(), read.clone());
            let error = match blocking(move || read(&reader)).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if error.index_at().is_none() {
                return Err(error.into());
            }
            select! {
                reason = self.stopped() => return Err(ReadError::Stopped(reason)),
                again = self.store().heal(&error, &mut healed) => if again.is_err() {
                    return Err(error.into());
                },
                () = clock::sleep_until(deadline) => return Err(ReadError::BeingRepaired(error)),
            }
        }
    }

    /// Returns when the record at `offset` is applied here, or the node stops. Woken, never polling.
    pub async fn wait_for(&self, offset: u64) {
        select! {
            _ = self.progress().wait_for(|applied| applied.next_offset > offset) => {}
            _ = self.stopped() => {}
        }
    }

    /// The offsets readable here: from the first up to, not including, the second.
    pub fn range(&self) -> (u64, u64) {
        let applied = self.progress().now();
        // A snapshot ends before the trim that made it: the fold as of there knows less to be trimmed than is.
        let kept = self.store().reader().first_offset_kept();
        (applied.first_offset.max(kept.min(applied.next_offset)), applied.next_offset)
    }

    /// The range, as Raft confirms it to be now: nothing that was acked before the call lies past it.
    ///
    /// # Errors
    /// If this node does not lead, or no majority answers.
    pub async fn confirmed_range(&self) -> Result<(u64, u64), ReadError> {
        let applied = self.linearize().await?;
        Ok((applied.first_offset, applied.next_offset))
    }

    /// The offsets of the records appended at or after `time_ms`, milliseconds since 1970, up to the log's
    /// end; empty if there is none yet. Nothing that was acked before the call is missed.
    ///
    /// # Errors
    /// As [`Node::read`].
    pub async fn offsets_since(&self, time_ms: u64) -> Result<Range<u64>, ReadError> {
        let Applied { last, first_offset, next_offset, .. } = self.linearize().await?;
        self.durable(last).await?;
        let found = self.read_with(move |reader| reader.offset_at(time_ms, next_offset)).await?;
        Ok(found.clamp(first_offset, next_offset)..next_offset)
    }

    /// Returns when a record at or past `offset` is applied here and the log has reached `time_ms`, or the
    /// node stops.
    pub async fn wait_for_time(&self, offset: u64, time_ms: u64) {
        select! {
            _ = self.progress().wait_for(|applied| applied.next_offset > offset && applied.time_ms >= time_ms) => {}
            _ = self.stopped() => {}
        }
    }

    /// A majority without this node may have committed what its own disk does not show yet.
    pub(crate) async fn durable(&self, last: Option<EntryId>) -> Result<(), ReadError> {
        let Some(last) = last else { return Ok(()) };
        select! {
            () = self.store().durable(last.index) => Ok(()),
            reason = self.stopped() => Err(ReadError::Stopped(reason)),
        }
    }

    /// What is applied, once that covers all that was committed anywhere when this was called.
    pub(crate) async fn linearize(&self) -> Result<Applied, ReadError> {
        let deadline = clock::now() + self.config().leader_wait_max;
        let mut tried = None;
        let read = loop {
            if let Some(reason) = self.stop_reason() {
                return Err(ReadError::Stopped(reason));
            }
            let leading = self.leader_but(tried.as_ref(), deadline).await;
            let read = match &leading {
                Leading::Here => self.read_log_id_here().await,
                Leading::There(leader) => {
                    let read = self.peers().read_index(leader).await;
                    read.map_err(|status| ReadError::NoQuorum { reason: why_not(&status) })
                }
                Leading::Nobody => Err(ReadError::NotLeader { leader: None }),
            };
            match read {
                Ok(read) => break read,
                Err(ReadError::NotLeader { .. } | ReadError::NoQuorum { .. }) if clock::now() < deadline => {
                    tried = Some(leading);
                }
                Err(error) => return Err(error),
            }
        };
        let index = read.index;
        select! {
            applied = self.progress().wait_for(|applied| applied.last.is_some_and(|last| last.index >= index)) => {
                Ok(applied)
            }
            reason = self.stopped() => Err(ReadError::Stopped(reason)),
            () = clock::sleep_until(deadline) => {
                Err(ReadError::NoQuorum { reason: format!("entry {index} has not arrived here in time") })
            }
        }
    }

    /// Asks a majority. Never by lease: clocks drift. Never on this leader's own word: it may be alone.
    pub(crate) async fn read_log_id_here(&self) -> Result<LogId, ReadError> {
        let longest = self.config().patience();
        let read = select! {
            reason = self.stopped() => return Err(ReadError::Stopped(reason)),
            read = clock::timeout(longest, self.raft().get_read_log_id(ReadPolicy::ReadIndex)) => read,
        };
        match read {
            Ok(Ok((read, _))) => Ok(*read.log_id()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ReadError::NotLeader { leader: hint(forward) })
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(missing)))) => {
                Err(ReadError::NoQuorum { reason: missing.to_string() })
            }
            Ok(Err(RaftError::Fatal(fatal))) => Err(ReadError::Stopped(self.stopped_by(&fatal))),
            Err(late) => Err(ReadError::NoQuorum { reason: late.to_string() }),
        }
    }
}
