//! Bodies of chapter 1, in: what they must look like, and what exactly is wrong when they do not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// A body that says nothing we can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("the body is empty, expected {expected}")]
    Empty { expected: &'static str },
    #[error("the body is not the JSON expected here: {what} at line {line}, column {column}; expected {expected}")]
    Json { what: String, line: usize, column: usize, expected: &'static str },
    #[error("record.value is no base64 (standard alphabet, padded): {what} at position {position} of the string")]
    Base64 { what: String, position: usize },
}

const PRODUCE: &str = r#"{"record":{"value":"<base64>"}}"#;
const CONSUME: &str = r#"{"offset":<number>}"#;

/// A JSON object, and no array: serde's structs take either.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Produce {
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
struct Consume {
    offset: u64,
}

/// The value of the record in the body of `POST /`.
///
/// # Errors
/// What is wrong, and at which line and column of the JSON or position of the base64.
pub fn produce(body: &[u8]) -> Result<Bytes, BadBody> {
    let Produce { record: Object(record) } = json(body, PRODUCE)?;
    STANDARD.decode(&record.value).map(Bytes::from).map_err(|error| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
        let end = record.value.len();
        let (what, position) = match error {
            InvalidByte(position, byte) => (format!("{:?}", byte as char), position),
            InvalidLastSymbol(position, byte) => (format!("{:?} leaves bits over", byte as char), position),
            InvalidLength(_) => ("the string ends within a group of four".to_owned(), end),
            InvalidPadding => ("padding is wrong or missing".to_owned(), end),
        };
        BadBody::Base64 { what, position }
    })
}

/// The offset in the body of `GET /`.
///
/// # Errors
/// What is wrong, and at which line and column.
pub fn consume(body: &[u8]) -> Result<u64, BadBody> {
    let Consume { offset } = json(body, CONSUME)?;
    Ok(offset)
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &'static str) -> Result<T, BadBody> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(BadBody::Empty { expected });
    }
    serde_json::from_slice(body).map(|Object(found)| found).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // serde_json appends the place; it is a fact of its own here.
        let what = error.to_string();
        let what = what.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&what).to_owned();
        BadBody::Json { what, line, column, expected }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_or_null_is_no_object() {
        for body in ["[0]", r#"[["aGk="]]"#, r#"{"record":["aGk="]}"#, r#"{"record":null}"#] {
            let BadBody::Json { what, .. } = produce(body.as_bytes()).unwrap_err() else { panic!("{body}") };
            assert!(what.ends_with("expected an object"), "{body}: {what}");
        }
        assert!(consume(b"[0]").is_err());
    }

    #[test]
    fn chapter_1_bodies_are_read() {
        let body = br#"{"record":{"value":"TGV0J3MgR28gIzEK"}}"#;
        assert_eq!(produce(body).as_deref(), Ok(&b"Let's Go #1\n"[..]));
        assert_eq!(consume(br#"{"offset":0}"#), Ok(0));
    }

    #[test]
    fn what_was_consumed_can_be_sent_back() {
        assert_eq!(produce(br#"{"record":{"value":"","offset":7}}"#).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn garbage_is_answered_with_what_and_where() {
        let produce = |body: &str| produce(body.as_bytes()).unwrap_err().to_string();
        let consume = |body: &str| consume(body.as_bytes()).unwrap_err().to_string();
        let cases = [
            (produce(""), "the body is empty, expected {\"record\":{\"value\":\"<base64>\"}}"),
            (produce("hello"), "expected value at line 1, column 1"),
            (
                produce("{\"record\":\n{\"val\":\"\"}}"),
                "unknown field `val`, expected `value` or `offset` at line 2, column 6",
            ),
            (produce(r#"{"record":{}}"#), "missing field `value` at line 1, column 12"),
            (produce(r#"{"value":"aGk="}"#), "unknown field `value`, expected `record`"),
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
}
