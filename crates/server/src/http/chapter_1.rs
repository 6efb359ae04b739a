//! Chapter 1 of the book: `POST /` appends a record, `GET /` with a body (yes) reads one, whatever the content
//! type says.

use super::answer;
use super::body::{BadBody, Object, decoded, json};
use super::failure::Failure;
use super::whole::Whole;
use crate::service::Service;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seedlog_api::v1::{ConsumeRequest, ProduceRequest, Record};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

const PRODUCE: &str = r#"{"record":{"value":"<base64>"}}"#;
const CONSUME: &str = r#"{"offset":<number>}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProduceIn {
    record: Object<RecordIn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordIn {
    value: String,
    /// The book's record has one; in a produce it decides nothing, so that what was consumed can be sent back.
    #[serde(default, rename = "offset")]
    _offset: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumeIn {
    offset: Whole<u64>,
}

#[derive(Serialize)]
struct Produced {
    offset: u64,
}

#[derive(Serialize)]
struct Consumed {
    record: RecordOut,
}

#[derive(Serialize)]
struct RecordOut {
    value: String,
    offset: u64,
}

pub async fn produce(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let record = Some(Record { value: value(body)?, ..Record::default() });
    let produced = service.produce(ProduceRequest { record, ..ProduceRequest::default() }).await?;
    Ok(answer::json(&Produced { offset: produced.offset }))
}

pub async fn consume(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let offset = offset(body)?;
    let consumed = service.consume(ConsumeRequest { offset, ..ConsumeRequest::default() }).await?;
    Ok(answer::json(&shown(&consumed.record.unwrap_or_default())))
}

fn shown(record: &Record) -> Consumed {
    Consumed { record: RecordOut { value: STANDARD.encode(&record.value), offset: record.offset } }
}

/// The value of the record in the body of `POST /`.
pub(super) fn value(body: &[u8]) -> Result<Bytes, BadBody> {
    let ProduceIn { record: Object(record) } = json(body, PRODUCE)?;
    decoded(&record.value, || "record.value".to_owned())
}

/// The offset in the body of `GET /`.
pub(super) fn offset(body: &[u8]) -> Result<u64, BadBody> {
    let ConsumeIn { offset: Whole(offset) } = json(body, CONSUME)?;
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::tests::text;
    use crate::http::body::tests::{edited, names_the_place};
    use proptest::prelude::*;

    #[tokio::test]
    async fn answers_are_what_the_books_server_writes() {
        let record = Record { value: "Let's Go #1\n".into(), offset: 7, term: 3, ..Record::default() };
        assert_eq!(text(answer::json(&Produced { offset: 7 })).await, (200, "{\"offset\":7}\n".into()));
        let wanted = "{\"record\":{\"value\":\"TGV0J3MgR28gIzEK\",\"offset\":7}}\n";
        assert_eq!(text(answer::json(&shown(&record))).await, (200, wanted.into()));
    }

    #[test]
    fn an_array_or_null_is_no_object() {
        for body in ["[0]", r#"[["aGk="]]"#, r#"{"record":["aGk="]}"#, r#"{"record":null}"#] {
            let BadBody::Json { what, .. } = value(body.as_bytes()).unwrap_err() else { panic!("{body}") };
            assert!(what.ends_with("expected an object"), "{body}: {what}");
        }
        assert!(offset(b"[0]").is_err());
    }

    #[test]
    fn chapter_1_bodies_are_read() {
        let body = br#"{"record":{"value":"TGV0J3MgR28gIzEK"}}"#;
        assert_eq!(value(body).as_deref(), Ok(&b"Let's Go #1\n"[..]));
        assert_eq!(offset(br#"{"offset":0}"#), Ok(0));
    }

    #[test]
    fn what_was_consumed_can_be_sent_back() {
        assert_eq!(value(br#"{"record":{"value":"","offset":7}}"#).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn garbage_is_answered_with_what_and_where() {
        let produce = |body: &str| value(body.as_bytes()).unwrap_err().to_string();
        let consume = |body: &str| offset(body.as_bytes()).unwrap_err().to_string();
        let cases = [
            (produce(""), "the body is empty, expected {\"record\":{\"value\":\"<base64>\"}}"),
            (produce("hello"), "expected value at line 1, column 1"),
            (
                produce("{\"record\":\n{\"val\":\"\"}}"),
                "unknown field `val`, expected `value` or `offset` at line 2, column 6",
            ),
            (produce(r#"{"record":{}}"#), "missing field `value` at line 1, column 12"),
            (produce(r#"{"value":"aGk="}"#), "unknown field `value`, expected `record`"),
            (
                produce(r#"{"record":{"value":"aG!="}}"#),
                "record.value is no base64 (standard alphabet, padded): '!' at",
            ),
            (produce(r#"{"record":{"value":"aG!="}}"#), "'!' at position 2"),
            (produce(r#"{"record":{"value":"aGk"}}"#), "padding is wrong or missing at position 3"),
            (produce(r#"{"record":{"value":"aGl="}}"#), "'l' leaves bits over at position 2"),
            (produce(r#"{"record":{"value":"aGk="}} x"#), "trailing characters at line 1, column 29"),
            (consume(r#"{"offset":-1}"#), "invalid value: integer `-1`, expected u64 at line 1, column 12"),
            (consume(r#"{"offset":"1"}"#), "invalid type: string \"1\", expected u64"),
            (consume(r#"{"offset":1.5}"#), "invalid type: floating point `1.5`, expected u64"),
            (consume(r#"{}"#), "missing field `offset` at line 1, column 2"),
            (consume("\u{0}"), "expected value at line 1, column 1"),
        ];
        for (error, wanted) in cases {
            assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(names_the_place(&value(&body).unwrap_err()));
            prop_assert!(names_the_place(&offset(&body).unwrap_err()));
        }

        #[test]
        fn a_mistake_in_a_body_has_its_place(
            record in edited(r#"{"record":{"value":"TGV0J3MgR28gIzEK","offset":7}}"#), at in edited(r#"{"offset":17}"#)
        ) {
            for error in [value(&record).err(), offset(&at).err()].into_iter().flatten() {
                prop_assert!(names_the_place(&error), "{error}");
            }
        }
    }
}
