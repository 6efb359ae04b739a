//! What an administrator asks of a log and its cluster.

use super::answer;
use super::body::{given, json};
use super::failure::Failure;
use super::whole::Whole;
use crate::service::Service;
use axum::response::Response;
use seedlog_api::ApiError;
use seedlog_api::v1::{
    DescribeRequest, FenceRequest, Fencing, RemoveServerRequest, ReplaceServerRequest, Retention, SetRetentionRequest,
    TransferLeaderRequest, TrimRequest,
};
use serde::{Deserialize, Serialize};

const TRIM: &str = r#"{"first_offset":<number>}"#;
const RETENTION: &str = r#"{"bytes_max":<number>,"age_ms_max":<number>}"#;
const FENCE: &str = r#"{"token":<number>,"required":<true or false>}"#;
const REMOVE: &str = r#"{"id":"<16 hex digits>"}"#;
const REPLACE: &str = r#"{"old_id":"<16 hex digits>","new_id":"<16 hex digits>"}"#;
const TRANSFER: &str = r#"{"id":"<16 hex digits>"} or {}"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trim {
    first_offset: Whole<u64>,
}

/// Both bounds at once: what is left out is no limit.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionJson {
    #[serde(default)]
    bytes_max: Whole<u64>,
    #[serde(default)]
    age_ms_max: Whole<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FencingJson {
    token: Whole<u64>,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveJson {
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplaceJson {
    old_id: String,
    new_id: String,
}

/// Without an id it is the voter whose log is furthest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferJson {
    #[serde(default, deserialize_with = "given")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Removed {
    id: String,
}

/// Null: this server has not heard of it yet.
#[derive(Serialize)]
struct Leader {
    id: Option<String>,
}

#[derive(Serialize)]
struct Description {
    first_offset: u64,
    next_offset: u64,
    last_time_ms: i64,
    fencing: FencingJson,
    retention: RetentionJson,
    producers: u32,
    segments: u32,
    bytes: u64,
    record_bytes_max: u64,
    batch_bytes_max: u64,
}

pub async fn describe(service: &Service) -> Result<Response, Failure> {
    let described = service.describe(DescribeRequest::default()).await?;
    Ok(answer::json(&Description {
        first_offset: described.first_offset,
        next_offset: described.next_offset,
        last_time_ms: described.last_time_ms,
        fencing: described.fencing.into(),
        retention: described.retention.into(),
        producers: described.producers,
        segments: described.segments,
        bytes: described.bytes,
        record_bytes_max: described.record_bytes_max,
        batch_bytes_max: described.batch_bytes_max,
    }))
}

pub async fn trim(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let Trim { first_offset: Whole(first_offset) } = json(body, TRIM)?;
    let trimmed = service.trim(TrimRequest { first_offset, ..TrimRequest::default() }).await?;
    Ok(answer::json(&Trim { first_offset: Whole(trimmed.first_offset) }))
}

pub async fn retention(service: &Service) -> Result<Response, Failure> {
    let described = service.describe(DescribeRequest::default()).await?;
    Ok(answer::json(&RetentionJson::from(described.retention)))
}

pub async fn set_retention(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let RetentionJson { bytes_max: Whole(bytes_max), age_ms_max: Whole(age_ms_max) } = json(body, RETENTION)?;
    let retention = Some(Retention { bytes_max, age_ms_max });
    let set = service.set_retention(SetRetentionRequest { retention, ..SetRetentionRequest::default() }).await?;
    Ok(answer::json(&RetentionJson::from(set.retention)))
}

pub async fn fence(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let FencingJson { token: Whole(token), required } = json(body, FENCE)?;
    let fencing = Some(Fencing { token, required });
    let set = service.fence(FenceRequest { fencing, ..FenceRequest::default() }).await?;
    Ok(answer::json(&FencingJson::from(set.fencing)))
}

pub async fn remove_server(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let RemoveJson { id } = json(body, REMOVE)?;
    service.remove_server(RemoveServerRequest { id: id.clone() }).await?;
    Ok(answer::json(&Removed { id }))
}

pub async fn replace_server(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let ReplaceJson { old_id, new_id } = json(body, REPLACE)?;
    service.replace_server(ReplaceServerRequest { old_id: old_id.clone(), new_id: new_id.clone() }).await?;
    Ok(answer::json(&ReplaceJson { old_id, new_id }))
}

pub async fn transfer_leader(service: &Service, body: &[u8]) -> Result<Response, Failure> {
    let TransferJson { id } = json(body, TRANSFER)?;
    // Over gRPC the empty one is none; here it is a mistake.
    if let Some(id) = id.as_ref().filter(|id| id.is_empty()) {
        return Err(ApiError::BadServerId { id: id.clone() }.into());
    }
    let answer = service.transfer_leader(TransferLeaderRequest { id: id.unwrap_or_default() }).await?;
    Ok(answer::json(&Leader { id: Some(answer.id).filter(|id| !id.is_empty()) }))
}

/// What each of the calls with a body makes of it.
#[cfg(any(test, fuzzing))]
pub(super) fn understood(body: &[u8]) -> [Result<(), super::body::BadBody>; 6] {
    [
        json::<Trim>(body, TRIM).map(drop),
        json::<RetentionJson>(body, RETENTION).map(drop),
        json::<FencingJson>(body, FENCE).map(drop),
        json::<RemoveJson>(body, REMOVE).map(drop),
        json::<ReplaceJson>(body, REPLACE).map(drop),
        json::<TransferJson>(body, TRANSFER).map(drop),
    ]
}

impl From<Option<Retention>> for RetentionJson {
    fn from(kept: Option<Retention>) -> RetentionJson {
        let Retention { bytes_max, age_ms_max } = kept.unwrap_or_default();
        RetentionJson { bytes_max: Whole(bytes_max), age_ms_max: Whole(age_ms_max) }
    }
}

impl From<Option<Fencing>> for FencingJson {
    fn from(fencing: Option<Fencing>) -> FencingJson {
        let Fencing { token, required } = fencing.unwrap_or_default();
        FencingJson { token: Whole(token), required }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::tests::{edited, names_the_place};
    use proptest::prelude::*;

    #[test]
    fn a_field_that_is_missing_or_unknown_is_named() {
        let trim = |body: &str| json::<Trim>(body.as_bytes(), TRIM).err().unwrap().to_string();
        let retention = |body: &str| json::<RetentionJson>(body.as_bytes(), RETENTION).err().unwrap().to_string();
        let fence = |body: &str| json::<FencingJson>(body.as_bytes(), FENCE).err().unwrap().to_string();
        let remove = |body: &str| json::<RemoveJson>(body.as_bytes(), REMOVE).err().unwrap().to_string();
        let replace = |body: &str| json::<ReplaceJson>(body.as_bytes(), REPLACE).err().unwrap().to_string();
        let transfer = |body: &str| json::<TransferJson>(body.as_bytes(), TRANSFER).err().unwrap().to_string();
        let cases = [
            (trim(""), "the body is empty, expected {\"first_offset\":<number>}"),
            (trim("{}"), "missing field `first_offset` at line 1, column 2"),
            (trim(r#"{"first_offset":1,"log":"x"}"#), "unknown field `log`, expected `first_offset`"),
            (retention(r#"{"bytes_max":null}"#), "invalid type: null, expected u64"),
            (retention(r#"{"age_max":1}"#), "unknown field `age_max`, expected `bytes_max` or `age_ms_max`"),
            (remove("{}"), "missing field `id`"),
            (remove(r#"{"id":1}"#), "invalid type: integer `1`, expected a string"),
            (replace(r#"{"old_id":"x"}"#), "missing field `new_id`"),
            (replace(r#"{"old_id":"x","new":"y"}"#), "unknown field `new`, expected `old_id` or `new_id`"),
            (transfer(""), "the body is empty, expected {\"id\":\"<16 hex digits>\"} or {}"),
            (transfer(r#"{"id":null}"#), "invalid type: null, expected a string"),
            (transfer(r#"{"to":"x"}"#), "unknown field `to`, expected `id`"),
            (fence("{}"), "missing field `token`"),
            (fence(r#"{"token":1,"required":1}"#), "invalid type: integer `1`, expected a boolean"),
        ];
        for (error, wanted) in cases {
            assert!(error.contains(wanted), "{error:?} does not say {wanted:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_and_a_mistake_has_its_place(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                edited(r#"{"first_offset":7}"#),
                edited(r#"{"bytes_max":1,"age_ms_max":2.0}"#),
                edited(r#"{"token":18446744073709551615,"required":true}"#),
                edited(r#"{"id":"00c0ffee00c0ffee"}"#),
                edited(r#"{"old_id":"00c0ffee00c0ffee","new_id":"0"}"#),
            ]
        ) {
            let errors = [
                json::<Trim>(&body, TRIM).err(),
                json::<RetentionJson>(&body, RETENTION).err(),
                json::<FencingJson>(&body, FENCE).err(),
            ];
            prop_assert!(errors.iter().flatten().count() >= 2, "a body is one of them at most: {errors:?}");
            let errors = errors.into_iter().chain([
                json::<RemoveJson>(&body, REMOVE).err(),
                json::<ReplaceJson>(&body, REPLACE).err(),
                json::<TransferJson>(&body, TRANSFER).err(),
            ]);
            for error in errors.flatten() {
                prop_assert!(names_the_place(&error), "{error}");
            }
        }
    }
}
