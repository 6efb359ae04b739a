//! What a piece of input becomes: a record's value as it is, or a whole record written as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use seedlog_client::{Header, Record};
use serde::Deserialize;

/// What all records of an input have in common.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Each line is a record as `consume --output json` prints it.
    json: bool,
    key: Bytes,
    headers: Vec<Header>,
}

/// A flag that shapes records, and cannot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOption {
    #[error("--header {given:?}: expected NAME=VALUE, such as --header content-type=text/plain")]
    Header { given: String },
}

/// A line that is no record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} is no record: {why}; an example: {{\"value\":\"aGk=\",\"key\":\"aw==\"}} (base64)")]
pub struct BadRecord {
    pub number: u64,
    pub why: String,
}

impl Shape {
    /// # Errors
    /// With the header that is none.
    pub fn new(json: bool, key: Option<&str>, headers: &[String]) -> Result<Shape, BadOption> {
        let header = |given: &String| match given.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Header { name: name.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) })
            }
            _ => Err(BadOption::Header { given: given.clone() }),
        };
        let headers = headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Shape { json, key: Bytes::copy_from_slice(key.unwrap_or_default().as_bytes()), headers })
    }

    /// The record made of `input`, which is line `number`.
    ///
    /// # Errors
    /// If it is to be JSON and is not a record.
    pub fn record(&self, input: &Bytes, number: u64) -> Result<Record, BadRecord> {
        if !self.json {
            let (key, headers) = (self.key.clone(), self.headers.clone());
            return Ok(Record { value: input.clone(), key, headers, ..Record::default() });
        }
        let bad = |why: String| BadRecord { number, why };
        let given: Given = serde_json::from_slice(input).map_err(|error| bad(error.to_string()))?;
        let decoded = |name: &str, text: &str| {
            STANDARD.decode(text).map(Bytes::from).map_err(|error| bad(format!("{name} is no base64: {error}")))
        };
        let mut headers = self.headers.clone();
        for header in &given.headers {
            let value = decoded("a header's value", &header.value)?;
            headers.push(Header { name: header.name.clone(), value });
        }
        let key = match &given.key {
            Some(key) => decoded("key", key)?,
            None => self.key.clone(),
        };
        let (value, timestamp_ms) = (decoded("value", &given.value)?, given.timestamp_ms);
        Ok(Record { value, key, headers, timestamp_ms, r#type: given.r#type, ..Record::default() })
    }
}

/// What a server sets may be there, so that what was consumed can be produced again; it is not kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    value: String,
    key: Option<String>,
    #[serde(default)]
    headers: Vec<GivenHeader>,
    timestamp_ms: Option<i64>,
    #[serde(default)]
    r#type: u32,
    #[serde(rename = "offset")]
    _offset: Option<u64>,
    #[serde(rename = "term")]
    _term: Option<u64>,
    #[serde(rename = "append_time_ms")]
    _append_time_ms: Option<i64>,
    #[serde(rename = "origins")]
    _origins: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenHeader {
    name: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &'static str) -> Header {
        Header { name: name.to_owned(), value: value.into() }
    }

    #[test]
    fn a_line_is_a_value_with_what_the_flags_say() {
        let shape = Shape::new(false, Some("k"), &["a=1=2".to_owned(), "b=".to_owned()]).unwrap();
        let record = shape.record(&"{}".into(), 1).unwrap();
        let headers = vec![header("a", "1=2"), header("b", "")];
        assert_eq!(record, Record { value: "{}".into(), key: "k".into(), headers, ..Record::default() });
        for given in ["a", "=1", ""] {
            assert_eq!(
                Shape::new(false, None, &[given.to_owned()]).unwrap_err(),
                BadOption::Header { given: given.to_owned() }
            );
        }
    }

    #[test]
    fn a_json_line_is_a_whole_record_and_goes_before_the_flags() {
        let shape = Shape::new(true, Some("k"), &["a=1".to_owned()]).unwrap();
        let line = r#"{"offset":3,"value":"YQo=","term":1,"append_time_ms":5,"key":"aw==","headers":[{"name":"h","value":"dg=="}],"timestamp_ms":0,"type":2,"origins":[{"cluster_id":"c"}]}"#;
        let headers = vec![header("a", "1"), header("h", "v")];
        let wanted = Record {
            value: "a\n".into(),
            key: "k".into(),
            headers: headers.clone(),
            timestamp_ms: Some(0),
            r#type: 2,
            ..Record::default()
        };
        assert_eq!(shape.record(&line.into(), 1), Ok(wanted));
        let short = shape.record(&r#"{"value":""}"#.into(), 1).unwrap();
        assert_eq!((short.key, short.headers.len(), short.timestamp_ms), ("k".into(), 1, None));
    }

    #[test]
    fn a_json_line_that_is_no_record_is_named_by_number() {
        let shape = Shape::new(true, None, &[]).unwrap();
        for (line, wanted) in [
            ("hi", "line 7 is no record: expected value at line 1 column 1"),
            ("", "line 7 is no record: EOF"),
            ("{}", "missing field `value`"),
            (r#"{"value":"a b"}"#, "value is no base64"),
            (r#"{"value":"","kee":""}"#, "unknown field `kee`"),
            (r#"{"value":1}"#, "invalid type: integer `1`, expected a string"),
        ] {
            let error = shape.record(&line.to_owned().into(), 7).unwrap_err().to_string();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }
}
