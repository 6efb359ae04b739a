//! Who follows the log: from the first record on, across reconnects to one node after the other.

use super::check::{Read, Value};
use super::load::{Load, TRY_AGAIN_AFTER};
use seedlog_client::{Client, Error, Record, Start};
use std::sync::Arc;
use std::time::Duration;

/// A tail without a record for so long is taken for one that hangs: there is always load.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Until the end of the log, once that is known: all that it saw.
pub async fn follow(load: Arc<Load>, number: usize) -> Vec<Read> {
    let mut seen: Vec<Read> = Vec::new();
    let mut turn = number;
    while !load.has_ended(next(&seen)) {
        if let Err(error) = follow_one(&load, &load.client(turn, 1), &mut seen).await {
            load.failed(&format!("tail {number}"), &error);
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
        turn += 1;
    }
    seen
}

async fn follow_one(load: &Load, client: &Client, seen: &mut Vec<Read>) -> Result<(), Error> {
    let mut tail = client.consume_stream(Start::Offset(next(seen))).await?;
    while !load.has_ended(next(seen)) {
        match tokio::time::timeout(SILENT_MAX, tail.next()).await {
            Ok(Some(record)) => seen.push(read(&record?)),
            Ok(None) | Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn next(seen: &[Read]) -> u64 {
    seen.last().map_or(0, |(offset, _)| offset + 1)
}

/// One node's log, from the first record to `end`.
pub async fn whole(client: &Client, end: u64) -> Result<Vec<Read>, Error> {
    let mut tail = client.consume_stream(Start::Earliest).await?;
    let mut log = Vec::new();
    while next(&log) < end {
        match tail.next().await {
            Some(record) => log.push(read(&record?)),
            None => break,
        }
    }
    Ok(log)
}

fn read(record: &Record) -> Read {
    (record.offset, Value::parse(&record.value))
}
