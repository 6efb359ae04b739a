//! From a consume request to records, once.

use crate::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use crate::produce::{default_group, default_log};
use crate::service::Service;
use seedlog_api::v1::{ConsumeRequest, ConsumeResponse, Record, Start};
use seedlog_api::{ApiError, with_position};
use seedlog_runtime::{buggify, clock};
use std::ops::Range;
use std::time::Duration;

impl Service {
    /// The record, or the records, at the start asked for. A miss waits for `wait_ms`, within limits.
    ///
    /// # Errors
    /// [`ApiError::OffsetOutOfRange`] if there still is none, with the range there is.
    pub async fn consume(&self, request: ConsumeRequest) -> Result<ConsumeResponse, ApiError> {
        let shape = check(&request, READ_BYTES_MAX)?;
        match self.once(&request, shape).await {
            // Trimmed records do not come back: only the end is worth a wait.
            Err(ApiError::OffsetOutOfRange { asked, next, .. }) if asked >= next && request.wait_ms > 0 => {
                let wait = Duration::from_millis(request.wait_ms.min(self.limits().wait_ms_max).into());
                let waited = clock::timeout(wait, async {
                    seedlog_runtime::select! {
                        () = self.stopping().wait() => Err(ApiError::ShuttingDown),
                        () = self.wait_for(asked, &request) => Ok(()),
                    }
                });
                // Whether it came or the time is up, the read says what there is now.
                waited.await.unwrap_or(Ok(()))?;
                match Start::try_from(request.start) {
                    Ok(Start::Time) => self.once(&request, shape).await,
                    // The end has moved: it is the one that was waited at.
                    _ => self.read(asked, shape).await,
                }
            }
            answer => answer,
        }
    }

    async fn once(&self, request: &ConsumeRequest, shape: Shape) -> Result<ConsumeResponse, ApiError> {
        loop {
            match self.at_start(request, shape).await {
                // Trimmed between the two steps: the start is another one now.
                Err(error) if is_overtaken(&error, request) => {}
                answer => return answer,
            }
        }
    }

    async fn at_start(&self, request: &ConsumeRequest, shape: Shape) -> Result<ConsumeResponse, ApiError> {
        if request.start() == Start::Time {
            let offsets = self.since(request).await?;
            if offsets.is_empty() {
                // Not a read at the end: what has come there since may be older than the time asked for.
                let (first, _) = self.node().range();
                return Err(ApiError::OffsetOutOfRange { asked: offsets.end, first, next: offsets.end });
            }
            return self.read(offsets.start, shape).await;
        }
        self.read(self.start(request).await?, shape).await
    }

    /// Returns when there is a record at `offset`, and with a start at a time, when one of that time is there.
    async fn wait_for(&self, offset: u64, request: &ConsumeRequest) {
        match request.start() {
            Start::Time => self.node().wait_for_time(offset, start_time_ms(request)).await,
            _ => self.node().wait_for(offset).await,
        }
    }

    async fn read(&self, offset: u64, shape: Shape) -> Result<ConsumeResponse, ApiError> {
        let records = self.records(offset, shape.records_max(), shape.bytes_max()).await?;
        Ok(shape.answer(records))
    }

    /// At least one record.
    pub(crate) async fn records(
        &self,
        from: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, ApiError> {
        let records_max = if buggify!("few_records") { 1 } else { records_max };
        let kept = self.node().read(from, records_max, bytes_max).await.map_err(crate::error::read)?;
        kept.into_iter()
            .map(|kept| {
                with_position(kept.bytes, kept.offset, kept.term, kept.append_time_ms).map_err(|error| {
                    ApiError::Internal {
                        what: format!("the record kept at offset {} does not decode: {error}", kept.offset),
                    }
                })
            })
            .collect()
    }

    /// The offset at which the request's start is.
    pub(crate) async fn start(&self, request: &ConsumeRequest) -> Result<u64, ApiError> {
        match Start::try_from(request.start) {
            Ok(Start::Offset) => Ok(request.offset),
            Ok(Start::Earliest) => Ok(self.node().range().0),
            Ok(Start::Latest) => self.end().await,
            Ok(Start::Time) => self.since(request).await.map(|offsets| offsets.start),
            Err(_) => Err(ApiError::Malformed { what: format!("there is no start {}", request.start) }),
        }
    }

    /// The offsets from the time asked for on.
    pub(crate) async fn since(&self, request: &ConsumeRequest) -> Result<Range<u64>, ApiError> {
        self.node().offsets_since(start_time_ms(request)).await.map_err(crate::error::read)
    }

    /// The log's end, as of now and not as of what this replica happens to have applied.
    async fn end(&self) -> Result<u64, ApiError> {
        self.node().confirmed_range().await.map(|(_, next)| next).map_err(crate::error::read)
    }
}

/// The shape of the answers to a request that has a meaning; see [`Shape::of`] for `bytes`.
pub(crate) fn check(request: &ConsumeRequest, bytes: usize) -> Result<Shape, ApiError> {
    default_log(&request.log)?;
    default_group(request.group)?;
    Shape::of(request, bytes)
}

/// Whether the start that was found for the request has been trimmed since. Whoever asks for an offset is told.
pub(crate) fn is_overtaken(error: &ApiError, request: &ConsumeRequest) -> bool {
    let trimmed = matches!(error, ApiError::OffsetOutOfRange { asked, first, .. } if asked < first);
    trimmed && request.start() != Start::Offset
}

/// Before 1970 there is nothing: from the start on.
pub(crate) fn start_time_ms(request: &ConsumeRequest) -> u64 {
    u64::try_from(request.start_time_ms).unwrap_or(0)
}

/// How many records go into one answer, and in which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The book's: one, in `record`.
    One,
    /// Some, in `records`.
    Many { records_max: usize, bytes_max: usize },
}

impl Shape {
    /// `bytes` is what an answer has about if the request does not say.
    fn of(request: &ConsumeRequest, bytes: usize) -> Result<Shape, ApiError> {
        Ok(match (request.max_records, request.max_bytes) {
            (0, 0) => Shape::One,
            // Without a number of records there is no batch for the bytes to limit.
            (0, _) => return Err(ApiError::Malformed { what: "max_bytes is set without max_records".into() }),
            (records, max) => Shape::Many {
                records_max: (records as usize).min(READ_RECORDS_MAX),
                bytes_max: if max == 0 { bytes } else { (max as usize).min(READ_BYTES_MAX) },
            },
        })
    }

    fn records_max(self) -> usize {
        match self {
            Shape::One => 1,
            Shape::Many { records_max, .. } => records_max,
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Shape::One => 1,
            Shape::Many { bytes_max, .. } => bytes_max,
        }
    }

    fn answer(self, mut records: Vec<Record>) -> ConsumeResponse {
        match self {
            Shape::One => ConsumeResponse { record: records.drain(..).next(), records: Vec::new() },
            Shape::Many { .. } => ConsumeResponse { record: None, records },
        }
    }
}
