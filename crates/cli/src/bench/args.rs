//! What `seedlog bench` can be told, and what of it makes sense together.

use clap::{Args, ValueEnum};
use seedlog_runtime::rpc::MESSAGE_BYTES_MAX;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What one connection carries at once.
pub const IN_FLIGHT_MAX: i64 = 1024;
/// What one answer to a consume may hold.
const BATCH_MAX: i64 = 32 << 10;
const DURATION_MAX_S: f64 = 24.0 * 3600.0;

#[derive(Debug, Args)]
#[command(after_help = "\
Modes:
  unary    one record a call, --in-flight tasks that share one connection
  stream   one record a request of one produce stream, --in-flight of them unanswered
  batch    the same with --batch records a request: an atomic batch each
  consume  --in-flight tails on one connection, each from the first record on and again; a call is --batch
           records. A log with fewer than 100000 records is filled first, one record a request

A latency is that of one call, from when it is made until its answer: for a produce, until it is fsynced.
Calls are made as answers come (a closed loop), so a slow node is asked less.
With --addr the records are appended to that node's log, and stay there.

Examples:
  seedlog bench                                       a produce stream into a node of its own
  seedlog bench --mode unary --in-flight 1            what one caller waits for one acknowledged record
  seedlog bench --mode batch --batch 64 --size 1024   atomic batches
  seedlog bench --mode consume --count 1000000
  seedlog bench --data-dir /mnt/disk                  the node's directory on that file system
  seedlog bench --addr 127.0.0.1:8400 --duration 30 --output json | jq .records_per_s")]
pub struct Bench {
    /// A running node's gRPC address; without it a node of its own on loopback, gone at the end
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: Option<String>,

    /// In which directory the own node gets a temporary one [default: the system's]
    #[arg(long, value_name = "DIR", conflicts_with = "addr")]
    pub data_dir: Option<PathBuf>,

    /// What is measured, see below
    #[arg(long, value_enum, default_value_t = Mode::Stream)]
    pub mode: Mode,

    /// Calls made and not answered yet [default: 64; consume: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX))]
    pub in_flight: Option<u32>,

    /// Bytes of each record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub size: usize,

    /// Records of one atomic batch [default: 64]; consume: records read as one call [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=BATCH_MAX))]
    pub batch: Option<u32>,

    /// How long calls are made
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = positive_seconds)]
    pub duration: Duration,

    /// So many records instead, rounded up to whole calls
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// How long the same is done before, unmeasured
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    pub warm_up: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Unary,
    Stream,
    Batch,
    Consume,
}

/// What a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shape {
    pub mode: Mode,
    pub in_flight: u32,
    pub size_bytes: usize,
    pub batch_records: u32,
}

/// Values that are good each and not together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadShape {
    #[error("--batch {batch} goes with --mode batch or consume: {mode} sends one record a call")]
    Batch { batch: u32, mode: &'static str },
    #[error("{records} records of --size {size} are a request of {} bytes, the limit is {max}", (*records as u128) * (*size as u128))]
    Size { records: u32, size: usize, max: usize },
}

impl Bench {
    /// # Errors
    /// What does not go together.
    pub fn shape(&self) -> Result<Shape, BadShape> {
        let shape = Shape {
            mode: self.mode,
            in_flight: self.in_flight.unwrap_or(if self.mode == Mode::Consume { 1 } else { 64 }),
            size_bytes: self.size,
            batch_records: self.batch.unwrap_or(match self.mode {
                Mode::Unary | Mode::Stream => 1,
                Mode::Batch => 64,
                Mode::Consume => 1024,
            }),
        };
        match (self.mode, self.batch) {
            (Mode::Unary, Some(batch)) => return Err(BadShape::Batch { batch, mode: "unary" }),
            (Mode::Stream, Some(batch)) => return Err(BadShape::Batch { batch, mode: "stream" }),
            _ => {}
        }
        let records = shape.records_a_request();
        let fits = self.size.checked_mul(records as usize).is_some_and(|bytes| bytes <= MESSAGE_BYTES_MAX);
        if fits { Ok(shape) } else { Err(BadShape::Size { records, size: self.size, max: MESSAGE_BYTES_MAX }) }
    }
}

impl Shape {
    /// Records of one produce request: a log to consume from is filled with one record each.
    pub fn records_a_request(&self) -> u32 {
        if self.mode == Mode::Consume { 1 } else { self.batch_records }
    }
}

fn seconds(given: &str) -> Result<Duration, String> {
    match given.parse::<f64>() {
        Ok(seconds) if (0.0..=DURATION_MAX_S).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected seconds from 0 to {DURATION_MAX_S}, such as 10 or 0.5")),
    }
}

fn positive_seconds(given: &str) -> Result<Duration, String> {
    match seconds(given)? {
        Duration::ZERO => Err("nothing can be measured in no time".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    fn shape(args: &[&str]) -> Result<super::Shape, String> {
        let all = ["seedlog", "bench"].iter().chain(args);
        match Cli::try_parse_from(all).map_err(|error| error.to_string())?.command {
            Command::Bench(bench) => bench.shape().map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_mode_has_defaults_of_its_own() {
        let of = |mode| shape(&["--mode", mode]).map(|shape| (shape.in_flight, shape.batch_records));
        assert_eq!(of("unary"), Ok((64, 1)));
        assert_eq!(of("stream"), Ok((64, 1)));
        assert_eq!(of("batch"), Ok((64, 64)));
        assert_eq!(of("consume"), Ok((1, 1024)));
    }

    #[test]
    fn what_cannot_be_is_refused_and_the_value_and_the_limit_are_named() {
        for (args, wanted) in [
            (&["--in-flight", "0"][..], "0 is not in 1..=1024"),
            (&["--in-flight", "1025"], "1025 is not in 1..=1024"),
            (&["--mode", "batch", "--batch", "0"], "0 is not in 1..=32768"),
            (&["--duration", "0"], "nothing can be measured"),
            (&["--duration", "-1"], "unexpected argument"),
            (&["--duration", "inf"], "expected seconds from 0 to 86400"),
            (&["--count", "0"], "0 is not in 1.."),
            (&["--count", "1", "--duration", "1"], "cannot be used with"),
            (&["--addr", "a:1", "--data-dir", "d"], "cannot be used with"),
            (&["--batch", "8"], "--batch 8 goes with --mode batch or consume: stream sends one record a call"),
            (
                &["--size", "8388609"],
                "1 records of --size 8388609 are a request of 8388609 bytes, the limit is 8388608",
            ),
            (&["--mode", "batch", "--size", "18446744073709551615"], "the limit is 8388608"),
        ] {
            let refused = shape(args).unwrap_err();
            assert!(refused.contains(wanted), "{args:?}: {refused}");
        }
        assert!(shape(&["--size", "8388608"]).is_ok(), "the rest is the node's to say");
    }
}
