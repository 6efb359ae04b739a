//! A tail: records from an offset on, then whatever is appended.
//!
//! Nothing runs here by itself: the stream reads when its transport asks for more, so a slow reader is
//! held by flow control and pins at most one read ([`AHEAD_BYTES`] and one record). At the end it waits
//! to be woken by an apply; it never polls. Overtaken by a trim it ends with OUT_OF_RANGE and the new
//! start. It ends by itself only with an error: UNAVAILABLE when the node stops.
//!
//! An offset past the end is waited for, however far: the answer to "from there on" is not wrong, it is
//! just not there yet (as in the book).

use crate::consume::{Shape, check, is_overtaken, start_time_ms};
use crate::service::Service;
use futures_util::Stream;
use futures_util::stream::unfold;
use seedlog_api::ApiError;
use seedlog_api::v1::{ConsumeRequest, ConsumeResponse, Record, Start};
use seedlog_runtime::buggify;
use std::collections::VecDeque;

/// What is read at once, and sent in a message where the request asks for batches and not for a size: large
/// enough that a message costs little, small enough that a slow reader pins little.
const AHEAD_BYTES: usize = 64 << 10;
const AHEAD_RECORDS: usize = 512;

struct Tail {
    service: Service,
    request: ConsumeRequest,
    shape: Shape,
    /// The next offset to read; unknown until the first read.
    next: Option<u64>,
    /// Something was read.
    delivered: bool,
    /// Read and not sent, when a message carries one record.
    ahead: VecDeque<Record>,
    ended: bool,
}

/// # Errors
/// What is wrong with the request, before anything is read.
pub(crate) fn consume_stream(
    service: Service,
    request: ConsumeRequest,
) -> Result<impl Stream<Item = Result<ConsumeResponse, ApiError>> + Send + 'static, ApiError> {
    let shape = check(&request, AHEAD_BYTES)?;
    let tail = Tail { service, request, shape, next: None, delivered: false, ahead: VecDeque::new(), ended: false };
    Ok(unfold(tail, |mut tail| async move {
        if tail.ended {
            return None;
        }
        let answer = tail.answer().await;
        tail.ended = answer.is_err();
        Some((answer, tail))
    }))
}

impl Tail {
    async fn answer(&mut self) -> Result<ConsumeResponse, ApiError> {
        match self.shape {
            Shape::One => {
                if self.ahead.is_empty() {
                    self.ahead = self.read(AHEAD_RECORDS, AHEAD_BYTES).await?.into();
                }
                Ok(ConsumeResponse { record: self.ahead.pop_front(), records: Vec::new() })
            }
            Shape::Many { records_max, bytes_max } => {
                Ok(ConsumeResponse { record: None, records: self.read(records_max, bytes_max).await? })
            }
        }
    }

    /// At least one record, whenever it comes.
    async fn read(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, ApiError> {
        let stopping = self.service.stopping().clone();
        seedlog_runtime::select! {
            () = stopping.wait() => Err(ApiError::ShuttingDown),
            records = self.wait_and_read(records_max, bytes_max) => records,
        }
    }

    async fn wait_and_read(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, ApiError> {
        let mut from = match self.next {
            Some(next) => next,
            None => *self.next.insert(self.begin().await?),
        };
        loop {
            // What is applied here needs no question to the leader; what is not, no answer but "wait".
            if self.service.node().range().1 <= from && !buggify!("woken_for_nothing") {
                self.service.node().wait_for(from).await;
            }
            match self.service.records(from, records_max, bytes_max).await {
                Ok(records) => {
                    let last = records.last().map_or(from, |record| record.offset);
                    self.next = Some(last + 1);
                    self.delivered = true;
                    return Ok(records);
                }
                Err(error) if !self.delivered && is_overtaken(&error, &self.request) => {
                    from = *self.next.insert(self.begin().await?);
                }
                // Woken too early: not ours to report.
                Err(ApiError::OffsetOutOfRange { next, .. }) if next <= from => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The offset to start from. A time that the log has not reached is waited for.
    async fn begin(&self) -> Result<u64, ApiError> {
        if self.request.start() != Start::Time {
            return self.service.start(&self.request).await;
        }
        loop {
            let offsets = self.service.since(&self.request).await?;
            if !offsets.is_empty() {
                return Ok(offsets.start);
            }
            self.service.node().wait_for_time(offsets.end, start_time_ms(&self.request)).await;
        }
    }
}
