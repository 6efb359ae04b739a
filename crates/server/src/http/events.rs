//! `/v1/tail`: a consume stream as server-sent events, one record an event, its offset the event's id; so whoever
//! reconnects with Last-Event-ID, as browsers do by themselves, goes on where it was.
//!
//! Nothing is read ahead by this: the stream is asked for more when the socket has taken what there was.

use super::failure::Failure;
use super::query::{Query, number};
use super::records::RecordOut;
use crate::consume_stream::consume_stream;
use crate::service::Service;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use seedlog_api::ApiError;
use seedlog_api::v1::{ConsumeRequest, ConsumeResponse, Start};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;

pub const PARAMETERS: &[&str] = &["offset", "start", "start_time_ms", "values"];

/// A comment goes out after so long a silence, so that what stands between does not take the connection for dead.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

pub fn tail(service: Service, query: &Query, headers: &HeaderMap) -> Result<Response, Failure> {
    let as_text = query.values_as_text()?;
    let mut request = query.start()?;
    if let Some(seen) = last_event_id(headers)? {
        request = ConsumeRequest { offset: seen + 1, ..ConsumeRequest::default() };
    }
    if request.start() == Start::Offset {
        let (first, next) = service.node().range();
        // As a status it ends the attempts of a browser; as an event it would begin them.
        if request.offset < first {
            return Err(ApiError::OffsetOutOfRange { asked: request.offset, first, next }.into());
        }
    }
    let events = consume_stream(service, request)?.map(move |answer| Ok::<_, Infallible>(event(answer, as_text)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY)).into_response())
}

fn event(answer: Result<ConsumeResponse, ApiError>, as_text: bool) -> Event {
    match answer {
        Ok(consumed) => {
            let record = consumed.record.unwrap_or_default();
            let id = record.offset.to_string();
            Event::default().id(id).data(json(&RecordOut::of(record, as_text)))
        }
        Err(error) => Event::default().event("error").data(json(&Failure::from(error).shown())),
    }
}

fn json(shown: &impl Serialize) -> String {
    serde_json::to_string(shown).expect("strings and numbers always encode")
}

/// The last offset seen. Empty is what a client sends that has seen none.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(given) = headers.get("last-event-id").filter(|given| !given.is_empty()) else { return Ok(None) };
    let given = String::from_utf8_lossy(given.as_bytes()).into_owned();
    let max = u64::MAX - 1;
    match number::<u64>(&given).filter(|seen| *seen <= max) {
        Some(seen) => Ok(Some(seen)),
        None => Err(Failure::LastEventId { given, max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn what_was_seen_last_is_an_offset_that_has_a_next() {
        let parsed = |given: &'static [u8]| {
            let headers =
                HeaderMap::from_iter([("last-event-id".parse().unwrap(), HeaderValue::from_bytes(given).unwrap())]);
            last_event_id(&headers)
        };
        assert_eq!(last_event_id(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(parsed(b"").ok(), Some(None));
        assert_eq!(parsed(b"18446744073709551614").ok(), Some(Some(u64::MAX - 1)));
        for bad in [&b"18446744073709551615"[..], b"-1", b"+1", b"one", b"1.0", b"\xff"] {
            let message = parsed(bad).unwrap_err().to_string();
            assert!(message.contains("it must be an offset"), "{message}");
        }
    }
}
