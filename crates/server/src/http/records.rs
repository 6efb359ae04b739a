//! `/v1/records`: produce and consume, with everything that gRPC's have.

use super::answer;
use super::body::{BadBody, Object, decoded, given, json};
use super::failure::Failure;
use super::query::{BadQuery, Query};
use super::whole::Whole;
use crate::limits::Limits;
use crate::service::Service;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seedlog_api::ApiError;
use seedlog_api::v1::{ConsumeRequest, Header, Origin, ProduceRequest, Record};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub const PARAMETERS: &[&str] = &["offset", "start", "start_time_ms", "max_records", "max_bytes", "wait_ms", "values"];

/// How many records one answer has at most if the request does not say.
const MAX_RECORDS: u32 = 100;

const PRODUCE: &str = r#"{"record":{"value":"<base64>"}} or {"records":[{"value_text":"<text>"}, ..]}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProduceIn {
    #[serde(default, deserialize_with = "given")]
    record: Option<Object<RecordIn>>,
    #[serde(default, deserialize_with = "given")]
    records: Option<Vec<Object<RecordIn>>>,
    #[serde(default, deserialize_with = "given")]
    expected_offset: Option<Whole<u64>>,
    #[serde(default, deserialize_with = "given")]
    producer_id: Option<String>,
    #[serde(default)]
    sequence: Whole<u64>,
    #[serde(default)]
    allow_sequence_gap: bool,
    #[serde(default, deserialize_with = "given")]
    fencing_token: Option<Whole<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordIn {
    #[serde(default, deserialize_with = "given")]
    value: Option<String>,
    #[serde(default, deserialize_with = "given")]
    value_text: Option<String>,
    #[serde(default)]
    key: String,
    #[serde(default)]
    headers: Vec<Object<HeaderIn>>,
    #[serde(default, deserialize_with = "given")]
    timestamp_ms: Option<Whole<i64>>,
    #[serde(default, rename = "type")]
    kind: Whole<u32>,
    /// Set by the server; they decide nothing here, so that what was consumed can be sent back.
    #[serde(default, rename = "offset")]
    _offset: Option<IgnoredAny>,
    #[serde(default, rename = "term")]
    _term: Option<IgnoredAny>,
    #[serde(default, rename = "append_time_ms")]
    _append_time_ms: Option<IgnoredAny>,
    /// A mirror's to set, and it speaks gRPC.
    #[serde(default, rename = "origins")]
    _origins: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderIn {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Produced {
    offset: u64,
    count: u32,
    repeated: bool,
}

#[derive(Serialize)]
struct Consumed {
    records: Vec<RecordOut>,
    next_offset: u64,
}

/// A record as JSON. Fields that gRPC would leave out are left out here.
#[derive(Serialize)]
pub struct RecordOut {
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_text: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<i64>,
    #[serde(rename = "type", skip_serializing_if = "is_zero")]
    kind: u32,
    term: u64,
    append_time_ms: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<OriginOut>,
}

#[derive(Serialize)]
struct OriginOut {
    cluster_id: String,
    offset: u64,
    append_time_ms: i64,
}

#[derive(Serialize)]
struct HeaderOut {
    name: String,
    value: String,
}

fn is_zero(kind: &u32) -> bool {
    *kind == 0
}

impl RecordOut {
    /// With `as_text` a value that is UTF-8 comes as it is.
    pub fn of(record: Record, as_text: bool) -> RecordOut {
        let text = as_text.then(|| std::str::from_utf8(&record.value).ok()).flatten();
        RecordOut {
            offset: record.offset,
            value: if text.is_none() { Some(STANDARD.encode(&record.value)) } else { None },
            value_text: text.map(str::to_owned),
            key: STANDARD.encode(&record.key),
            headers: record
                .headers
                .into_iter()
                .map(|Header { name, value }| HeaderOut { name, value: STANDARD.encode(value) })
                .collect(),
            timestamp_ms: record.timestamp_ms,
            kind: record.r#type,
            term: record.term,
            append_time_ms: record.append_time_ms,
            origins: record.origins.into_iter().map(OriginOut::from).collect(),
        }
    }
}

impl From<Origin> for OriginOut {
    fn from(Origin { cluster_id, offset, append_time_ms }: Origin) -> OriginOut {
        OriginOut { cluster_id, offset, append_time_ms }
    }
}

pub async fn produce(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let produced = service.produce(request(body)?).await?;
    Ok(answer::json(&Produced { offset: produced.offset, count: produced.count, repeated: produced.repeated }))
}

pub async fn consume(service: &Service, query: &Query) -> Result<Response, Failure> {
    let as_text = query.values_as_text()?;
    let records = service.consume(asked(query)?).await?.records;
    let next_offset = records.last().map_or(0, |record| record.offset + 1);
    let records = records.into_iter().map(|record| RecordOut::of(record, as_text)).collect();
    Ok(answer::json(&Consumed { records, next_offset }))
}

/// What the query asks for.
pub(super) fn asked(query: &Query) -> Result<ConsumeRequest, BadQuery> {
    Ok(ConsumeRequest {
        max_records: query.number("max_records", 1..=u32::MAX)?.unwrap_or(MAX_RECORDS),
        max_bytes: query.number("max_bytes", 1..=u32::MAX)?.unwrap_or_default(),
        wait_ms: query.number("wait_ms", 0..=u32::MAX)?.unwrap_or_default(),
        ..query.start()?
    })
}

/// How long the request asks the log to wait: what it may take longer than others.
pub fn wait(query: &Query, limits: &Limits) -> Duration {
    let wait_ms = query.number("wait_ms", 0..=u32::MAX).ok().flatten().unwrap_or_default();
    Duration::from_millis(wait_ms.min(limits.wait_ms_max).into())
}

pub(super) fn request(body: &[u8]) -> Result<ProduceRequest, Failure> {
    let parsed: ProduceIn = json(body, PRODUCE)?;
    let (record, records) = match (parsed.record, parsed.records) {
        (Some(_), Some(_)) => return Err(ApiError::RecordAndRecords.into()),
        (Some(Object(one)), None) => (Some(record(one, || "record".to_owned())?), Vec::new()),
        (None, records) => {
            let records = records.unwrap_or_default().into_iter().enumerate();
            let records = records.map(|(index, Object(one))| record(one, || format!("records[{index}]")));
            (None, records.collect::<Result<_, _>>()?)
        }
    };
    if parsed.producer_id.as_deref() == Some("") {
        let what = "is empty: name the producer, or leave it out";
        return Err(BadBody::Field { field: "producer_id".to_owned(), what }.into());
    }
    Ok(ProduceRequest {
        record,
        records,
        expected_offset: parsed.expected_offset.map(|Whole(offset)| offset),
        producer_id: parsed.producer_id.unwrap_or_default(),
        sequence: parsed.sequence.0,
        allow_sequence_gap: parsed.allow_sequence_gap,
        fencing_token: parsed.fencing_token.map(|Whole(token)| token),
        ..ProduceRequest::default()
    })
}

fn record(given: RecordIn, place: impl Fn() -> String) -> Result<Record, BadBody> {
    let value = match (given.value, given.value_text) {
        (Some(base64), None) => decoded(&base64, || format!("{}.value", place()))?,
        (None, Some(text)) => Bytes::from(text),
        (Some(_), Some(_)) => {
            return Err(BadBody::Field { field: place(), what: "has value and value_text: set one of them" });
        }
        (None, None) => {
            let what = "has no value: set value (base64) or value_text";
            return Err(BadBody::Field { field: place(), what });
        }
    };
    let headers = given.headers.into_iter().enumerate().map(|(index, Object(HeaderIn { name, value }))| {
        let value = decoded(&value, || format!("{}.headers[{index}].value", place()))?;
        Ok(Header { name, value })
    });
    Ok(Record {
        value,
        key: decoded(&given.key, || format!("{}.key", place()))?,
        headers: headers.collect::<Result<_, BadBody>>()?,
        timestamp_ms: given.timestamp_ms.map(|Whole(time)| time),
        r#type: given.kind.0,
        ..Record::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::tests::{edited, names_the_place};
    use proptest::prelude::*;

    const WHOLE: &str = r#"{"records":[{"value":"aGk=","key":"aw==","headers":[{"name":"n","value":"dg=="}],
        "timestamp_ms":-5,"type":7,"offset":3,"term":1,"append_time_ms":9},{"value_text":"\u00fc"}],
        "expected_offset":0,"producer_id":"p","sequence":4,"allow_sequence_gap":true,"fencing_token":2}"#;

    fn refusal(body: &str) -> String {
        request(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn everything_that_a_produce_can_say_is_read() {
        let header = Header { name: "n".into(), value: "v".into() };
        let first = Record {
            value: "hi".into(),
            key: "k".into(),
            headers: vec![header],
            timestamp_ms: Some(-5),
            r#type: 7,
            ..Record::default()
        };
        let wanted = ProduceRequest {
            records: vec![first, Record { value: "ü".into(), ..Record::default() }],
            expected_offset: Some(0),
            producer_id: "p".into(),
            sequence: 4,
            allow_sequence_gap: true,
            fencing_token: Some(2),
            ..ProduceRequest::default()
        };
        assert_eq!(request(WHOLE.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn what_was_consumed_can_be_sent_back() {
        let record = request(WHOLE.as_bytes()).unwrap().records.remove(0);
        let origins = vec![Origin { cluster_id: "c".into(), offset: 3, append_time_ms: 5 }];
        let kept = Record { offset: 8, term: 2, append_time_ms: 77, origins, ..record.clone() };
        for as_text in [false, true] {
            let shown = serde_json::to_string(&RecordOut::of(kept.clone(), as_text)).unwrap();
            let again = request(format!(r#"{{"record":{shown}}}"#).as_bytes()).unwrap();
            assert_eq!(again.record, Some(record.clone()), "{shown}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_stays_base64_also_where_text_is_asked_for() {
        let record = Record { value: Bytes::from_static(b"\xff"), ..Record::default() };
        let shown = serde_json::to_value(RecordOut::of(record, true)).unwrap();
        assert_eq!((shown.get("value"), shown.get("value_text")), (Some(&"/w==".into()), None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (r#"{"records":[{"value":""},{"value":"a"}]}"#, "records[1].value is no base64"),
            (r#"{"record":{"value":"","key":"%"}}"#, "record.key is no base64 (standard alphabet, padded): '%' at pos"),
            (r#"{"record":{"value":"","headers":[{"name":"n","value":"="}]}}"#, "record.headers[0].value is no base64"),
            (r#"{"records":[{}]}"#, "records[0] has no value"),
            (r#"{"record":{"value":"","value_text":""}}"#, "record has value and value_text"),
            (r#"{"record":{"value":""},"records":[]}"#, "both record and records are set"),
            (r#"{"record":null}"#, "invalid type: null, expected an object at line 1, column 14"),
            (r#"{"record":{"value":""},"expected_offset":null}"#, "invalid type: null, expected u64"),
            (r#"{"record":{"value":""},"offset":1}"#, "unknown field `offset`, expected one of `record`, `records`,"),
            (r#"{"record":{"value":"","val":1}}"#, "unknown field `val`"),
            (r#"{"record":{"value":""},"record":{"value":""}}"#, "duplicate field `record`"),
            (r#"{"record":{"value":"","type":4294967296}}"#, "expected u32"),
            (r#"{"records":{"value":""}}"#, "invalid type: map, expected a sequence"),
            (r#"{"record":{"value":""},"producer_id":""}"#, "producer_id is empty"),
            (r#"{"records":[["aGk="]]}"#, "invalid type: sequence, expected an object"),
            (r#"{"record":{"value_text":"\ud800"}}"#, "at line 1, column"),
        ];
        for (body, wanted) in cases {
            assert!(refusal(body).contains(wanted), "{body}: {}", refusal(body));
        }
        // That there is nothing to produce is the log's to say.
        assert_eq!(request(b"{}").unwrap(), ProduceRequest::default());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let failure = request(&body).unwrap_err();
            prop_assert!(matches!(failure, Failure::Body(BadBody::Empty { .. } | BadBody::Json { .. })), "{failure}");
        }

        #[test]
        fn a_body_with_mistakes_is_refused_by_place_or_understood(body in edited(WHOLE)) {
            match request(&body) {
                Ok(understood) => prop_assert!(understood.record.is_none()),
                Err(Failure::Body(error)) => prop_assert!(names_the_place(&error), "{error}"),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
