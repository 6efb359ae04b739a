//! `seedlog trim`, `describe`, `fence` and `retention`: the log as a whole.

pub mod args;

use crate::args::Output;
use crate::connect::{self, Found};
use crate::failure::Failure;
use crate::moment::{self, Age};
use crate::output;
use crate::size::Size;
use args::{Describe, Fence, Retention as RetentionArgs, Trim};
use seedlog_client::{DescribeResponse, Fencing, Retention};
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn trim(args: Trim, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, .. } = connect::server(&args.connection).await?;
    let first = client.trim(args.offset).await.map_err(|error| Failure::call(&addr, error))?;
    say(format, json!({ "first_offset": first }), format!("the first offset is {first}\n"))
}

pub async fn describe(args: Describe, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, .. } = connect::server(&args.connection).await?;
    let described = client.describe().await.map_err(|error| Failure::call(&addr, error))?;
    say(format, as_json(&described), as_text(&described))
}

pub async fn fence(args: Fence, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, .. } = connect::server(&args.connection).await?;
    let fencing = Fencing { token: args.token, required: args.required };
    client.fence(fencing).await.map_err(|error| Failure::call(&addr, error))?;
    say(format, fencing_json(fencing), format!("fencing: {}\n", fencing_text(fencing)))
}

pub async fn retention(args: RetentionArgs, format: Output) -> Result<ExitCode, Failure> {
    // None to the server; to the user it would be no bound at all, said by the word for it.
    if args.max_age == Some(Age(0)) || args.max_bytes == Some(Size(0)) {
        return Err(Failure::NoRetention);
    }
    let Found { addr, client, .. } = connect::server(&args.connection).await?;
    let asked = args.max_age.is_none() && args.max_bytes.is_none() && !args.none;
    let retention = if asked {
        let described = client.describe().await.map_err(|error| Failure::call(&addr, error))?;
        described.retention.unwrap_or_default()
    } else {
        let retention = Retention {
            bytes_max: args.max_bytes.map_or(0, |Size(bytes)| bytes),
            age_ms_max: args.max_age.map_or(0, |Age(ms)| ms),
        };
        client.set_retention(retention).await.map_err(|error| Failure::call(&addr, error))?;
        retention
    };
    say(format, retention_json(retention), format!("retention: {}\n", retention_text(retention)))
}

/// The answer of a command that has only one thing to say.
pub fn say(format: Output, as_json: Value, as_text: String) -> Result<ExitCode, Failure> {
    match format {
        Output::Json => output::json(&as_json),
        Output::Text => output::bytes(as_text.as_bytes()),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

fn fencing_json(fencing: Fencing) -> Value {
    json!({ "token": fencing.token, "required": fencing.required })
}

fn fencing_text(fencing: Fencing) -> String {
    match fencing {
        Fencing { token: 0, required: false } => "none".to_owned(),
        Fencing { token, required: false } => format!("tokens below {token} are refused"),
        Fencing { token, required: true } => format!("tokens below {token} are refused, and a produce without one"),
    }
}

/// Null is no bound.
fn retention_json(Retention { bytes_max, age_ms_max }: Retention) -> Value {
    let bound = |value| if value == 0 { Value::Null } else { json!(value) };
    json!({ "bytes_max": bound(bytes_max), "age_ms_max": bound(age_ms_max) })
}

fn retention_text(Retention { bytes_max, age_ms_max }: Retention) -> String {
    let age = (age_ms_max > 0).then(|| format!("at most {} old", Age(age_ms_max)));
    let bytes = (bytes_max > 0).then(|| format!("at most {} together", Size(bytes_max)));
    match (age, bytes) {
        (None, None) => "everything is kept".to_owned(),
        (age, bytes) => age.into_iter().chain(bytes).collect::<Vec<_>>().join(", "),
    }
}

fn as_json(described: &DescribeResponse) -> Value {
    let last_time = (described.last_time_ms > 0).then_some(described.last_time_ms);
    json!({
        "first_offset": described.first_offset,
        "next_offset": described.next_offset,
        "last_time_ms": last_time,
        "fencing": fencing_json(described.fencing.unwrap_or_default()),
        "retention": retention_json(described.retention.unwrap_or_default()),
        "producers": described.producers,
        "segments": described.segments,
        "bytes": described.bytes,
        "record_bytes_max": described.record_bytes_max,
        "batch_bytes_max": described.batch_bytes_max,
    })
}

fn as_text(described: &DescribeResponse) -> String {
    let DescribeResponse { first_offset, next_offset, .. } = described;
    let last = if described.last_time_ms > 0 { moment::shown(described.last_time_ms) } else { "never".to_owned() };
    let rows = [
        ("offsets", format!("{first_offset}..{next_offset} ({} records)", next_offset.saturating_sub(*first_offset))),
        ("last append", last),
        ("on disk", format!("{} bytes in {} segments", described.bytes, described.segments)),
        ("retention", retention_text(described.retention.unwrap_or_default())),
        ("fencing", fencing_text(described.fencing.unwrap_or_default())),
        ("producers", format!("{} remembered", described.producers)),
        ("record limit", Size(described.record_bytes_max).to_string()),
        ("batch limit", Size(described.batch_bytes_max).to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:12}  {value}\n")).collect()
}
