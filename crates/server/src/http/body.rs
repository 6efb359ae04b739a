//! Bodies in: read within limits, parsed as the JSON they have to be, and what exactly is wrong when they are not.

use super::failure::Failure;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::stopping::Stopping;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use seedlog_api::ApiError;
use seedlog_runtime::clock;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A body has to arrive within this time.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

pub const NO_BODY: Bytes = Bytes::new();

/// A body that says nothing we can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("the body is empty, expected {expected}")]
    Empty { expected: &'static str },
    #[error("the body is not the JSON expected here: {what} at line {line}, column {column}; expected {expected}")]
    Json { what: String, line: usize, column: usize, expected: &'static str },
    #[error("{field} is no base64 (standard alphabet, padded): {what} at position {position} of the string")]
    Base64 { field: String, what: String, position: usize },
    #[error("{field} {what}")]
    Field { field: String, what: &'static str },
}

/// The whole body. One that is half sent is not waited for when the node stops.
pub async fn read(body: Body, headers: &HeaderMap, stopping: &Stopping) -> Result<Bytes, Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(bytes) = announced.filter(|bytes: &u64| *bytes > MESSAGE_BYTES_MAX as u64) {
        return Err(Failure::BodyTooLarge { bytes });
    }
    let arrived = async {
        let mut chunks = body.into_data_stream();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk.map_err(|error| Failure::BodyBroken { error: error.to_string() })?);
            if whole.len() > MESSAGE_BYTES_MAX {
                return Err(Failure::BodyTooLarge { bytes: whole.len() as u64 });
            }
        }
        Ok(whole.freeze())
    };
    let arrived = clock::timeout(BODY_DEADLINE, async {
        seedlog_runtime::select! {
            arrived = arrived => arrived,
            () = stopping.wait() => Err(ApiError::ShuttingDown.into()),
        }
    });
    arrived.await.unwrap_or(Err(Failure::BodyLate { after: BODY_DEADLINE }))
}

/// That none was announced; nothing is read for it.
pub fn is_empty(body: &Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// A JSON object, and no array: serde's structs take either.
pub struct Object<T>(pub T);

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

/// A field that may be left out, and is not null when it is there.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The object that the body is.
///
/// # Errors
/// What is wrong, and at which line and column.
pub fn json<'a, T: Deserialize<'a>>(body: &'a [u8], expected: &'static str) -> Result<T, BadBody> {
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

/// The bytes behind the base64 in `field`, which is named only if it must be.
///
/// # Errors
/// What is wrong, and at which position of the string.
pub fn decoded(text: &str, field: impl FnOnce() -> String) -> Result<Bytes, BadBody> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
        let end = text.len();
        let (what, position) = match error {
            InvalidByte(position, byte) => (format!("{:?}", byte as char), position),
            InvalidLastSymbol(position, byte) => (format!("{:?} leaves bits over", byte as char), position),
            InvalidLength(_) => ("the string ends within a group of four".to_owned(), end),
            InvalidPadding => ("padding is wrong or missing".to_owned(), end),
        };
        BadBody::Base64 { field: field(), what, position }
    })
}

#[cfg(test)]
pub mod tests {
    use super::BadBody;
    use proptest::prelude::*;
    use proptest::sample::Index;

    /// A sound body of which some bytes are replaced, taken out or put in.
    pub fn edited(sound: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let edits = proptest::collection::vec((any::<Index>(), 0..3_u8, any::<u8>()), 1..4);
        edits.prop_map(move |edits| {
            let mut body = sound.as_bytes().to_vec();
            for (index, edit, byte) in edits {
                let at = index.index(body.len());
                match edit {
                    0 => body[at] = byte,
                    1 => drop(body.remove(at)),
                    _ => body.insert(at, byte),
                }
            }
            body
        })
    }

    /// What is wrong, and where, as facts and in words.
    pub fn names_the_place(error: &BadBody) -> bool {
        let message = error.to_string();
        match error {
            BadBody::Empty { expected } => message.contains(expected),
            BadBody::Json { what, line, column, .. } => {
                !what.is_empty() && *line > 0 && message.contains(&format!("at line {line}, column {column}"))
            }
            BadBody::Base64 { field, position, .. } => {
                message.starts_with(field.as_str()) && message.contains(&format!("at position {position}"))
            }
            BadBody::Field { field, .. } => !field.is_empty() && message.starts_with(field.as_str()),
        }
    }
}
