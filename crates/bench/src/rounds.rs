//! All that is measured, round by round: what drifts on the machine drifts for all of them alike.

use crate::aims::{self, Aim};
use crate::args::{Run, Shape};
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::machine::{self, Machine};
use crate::process::{Load, Programs, Server, fill, finished};
use crate::{large, table};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use tempfile::TempDir;

/// In the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    SyncGrown,
    SyncPrewritten,
    EchoUnary1,
    SeedlogUnary1,
    Redis1,
    EchoUnary64,
    SeedlogUnary64,
    EchoStream64,
    SeedlogStream64,
    Redis64,
    SyncBatches,
    EchoBatch,
    SeedlogBatch,
    EchoConsume,
    SeedlogConsume,
}

pub type Round = BTreeMap<Point, Figures>;

const MANY: u32 = 64;
const BATCH: u32 = 64;
/// While one half of those in flight is synced, the other half gathers.
const SYNCED_BATCHES: u32 = MANY / 2;
/// As many records as one message of a tail holds.
const READ: u32 = 1024;
/// What is read, single records; all of it is in the page cache.
const READ_FROM: u64 = 100_000;

impl Point {
    pub fn label(self) -> &'static str {
        match self {
            Point::SyncGrown => "write + fdatasync, growing the file",
            Point::SyncPrewritten => "write + fdatasync, into pre-written space",
            Point::SyncBatches => "write + fdatasync of 32 batches, growing the file",
            Point::EchoUnary1 => "gRPC echo, unary, 1 in flight",
            Point::SeedlogUnary1 => "**seedlog, unary, 1 in flight**",
            Point::Redis1 => "Redis XADD, 1 in flight",
            Point::EchoUnary64 => "gRPC echo, unary, 64 in flight",
            Point::SeedlogUnary64 => "**seedlog, unary, 64 in flight**",
            Point::EchoStream64 => "gRPC echo, stream, 64 in flight",
            Point::SeedlogStream64 => "**seedlog, stream, 64 in flight**",
            Point::Redis64 => "Redis XADD, 64 in flight",
            Point::EchoBatch => "gRPC echo, stream of batches of 64, 64 in flight",
            Point::SeedlogBatch => "**seedlog, batches of 64, 64 in flight**",
            Point::EchoConsume => "gRPC echo, server stream, 1024 a message",
            Point::SeedlogConsume => "**seedlog, consume, 1024 a message**",
        }
    }

    fn load(self, args: &Run) -> Load {
        let (shape, in_flight, batch) = match self {
            Point::EchoUnary1 | Point::SeedlogUnary1 => (Shape::Unary, 1, 1),
            Point::EchoUnary64 | Point::SeedlogUnary64 => (Shape::Unary, MANY, 1),
            Point::EchoBatch | Point::SeedlogBatch => (Shape::Stream, MANY, BATCH),
            Point::EchoConsume | Point::SeedlogConsume => (Shape::Consume, 1, READ),
            Point::Redis1 => (Shape::Stream, 1, 1),
            Point::EchoStream64 | Point::SeedlogStream64 | Point::Redis64 => (Shape::Stream, MANY, 1),
            Point::SyncGrown | Point::SyncPrewritten | Point::SyncBatches => (Shape::Unary, 1, 1),
        };
        Load { shape, in_flight, size: args.size, batch, seconds: args.seconds }
    }
}

#[derive(Debug, Serialize)]
struct Raw<'a> {
    machine: &'a Machine,
    rounds: &'a [Round],
    large: Option<&'a large::Large>,
    aims: &'a [Aim],
}

pub fn run(args: &Run) -> Result<ExitCode, BenchError> {
    std::fs::create_dir_all(&args.dir).map_err(io(args.dir.display().to_string()))?;
    let bench = std::env::current_exe().map_err(io("the path of this program"))?;
    let programs = Programs { seedlog: args.seedlog.clone(), bench, redis: machine::in_path("redis-server") };
    let mut machine = Machine::look(&args.dir, &programs)?;
    let scratch = tempfile::Builder::new().prefix("seedlog-bench-").tempdir_in(&args.dir);
    let scratch = scratch.map_err(io(format!("a directory in {}", args.dir.display())))?;

    let mut rounds = Vec::new();
    if !args.large_only {
        for number in 1..=args.rounds {
            eprintln!("round {number} of {}", args.rounds);
            rounds.push(round(args, &programs, &scratch)?);
        }
    }
    let large = if args.large { Some(large::run(args, &programs, &scratch)?) } else { None };
    machine.look_again();

    let mut aims = aims::of_rounds(&rounds);
    aims.extend(large.iter().flat_map(large::Large::aims));
    let mut page = table::machine(&machine, args);
    if !rounds.is_empty() {
        page += &table::points(&rounds, |point| point.label().to_owned());
    }
    if let Some(large) = &large {
        page += &table::large(large);
    }
    page += &table::aims(&aims);
    print!("{page}");
    if let Some(path) = &args.json {
        let raw = Raw { machine: &machine, rounds: &rounds, large: large.as_ref(), aims: &aims };
        let raw = serde_json::to_vec_pretty(&raw).expect("numbers and strings always encode");
        std::fs::write(path, raw).map_err(io(path.display().to_string()))?;
    }
    let missed = aims.iter().any(|aim| !aim.is_met());
    Ok(if args.strict && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Everything once, with fresh servers and files; what is compared runs one right after the other.
fn round(args: &Run, programs: &Programs, scratch: &TempDir) -> Result<Round, BenchError> {
    let fresh = tempfile::tempdir_in(scratch.path()).map_err(io(scratch.path().display().to_string()))?;
    let (node_dir, redis_dir) = (fresh.path().join("node"), fresh.path().join("redis"));
    std::fs::create_dir(&redis_dir).map_err(io(redis_dir.display().to_string()))?;
    let echo = Server::echo(programs)?;
    let node = Server::node(programs, &node_dir)?;
    let redis = programs.redis.as_ref().map(|program| Server::redis(program, &redis_dir)).transpose()?;

    let mut round = Round::new();
    let mut measure = |point: Point| -> Result<(), BenchError> {
        let load = point.load(args);
        let figures = match point {
            Point::SyncGrown => sync(args, programs, fresh.path(), args.size, false)?,
            Point::SyncPrewritten => sync(args, programs, fresh.path(), args.size, true)?,
            Point::SyncBatches => sync(args, programs, fresh.path(), SYNCED_BATCHES * BATCH * args.size, false)?,
            Point::EchoUnary1 | Point::EchoUnary64 | Point::EchoStream64 | Point::EchoBatch | Point::EchoConsume => {
                echo.measured(&mut load.of(programs, "echo-client", &echo.addr))?
            }
            Point::Redis1 | Point::Redis64 => match &redis {
                Some(redis) => redis.measured(&mut load.of(programs, "redis-client", &redis.addr))?,
                None => return Ok(()),
            },
            Point::SeedlogUnary1
            | Point::SeedlogUnary64
            | Point::SeedlogStream64
            | Point::SeedlogBatch
            | Point::SeedlogConsume => node.measured(&mut load.seedlog(programs, &node.addr))?,
        };
        round.insert(point, figures);
        Ok(())
    };
    for point in [
        Point::SyncGrown,
        Point::SyncPrewritten,
        Point::EchoUnary1,
        Point::SeedlogUnary1,
        Point::Redis1,
        Point::EchoUnary64,
        Point::SeedlogUnary64,
        Point::EchoStream64,
        Point::SeedlogStream64,
        Point::Redis64,
    ] {
        measure(point)?;
    }
    // Before the batches, so that what is read are entries of one record each.
    fill(programs, &node.addr, READ_FROM, args.size, 1)?;
    for point in [Point::EchoConsume, Point::SeedlogConsume, Point::EchoBatch, Point::SyncBatches, Point::SeedlogBatch]
    {
        measure(point)?;
    }
    Ok(round)
}

fn sync(args: &Run, programs: &Programs, dir: &Path, size: u32, prewritten: bool) -> Result<Figures, BenchError> {
    let mut command = Command::new(&programs.bench);
    command.arg("disk").arg("--dir").arg(dir).args(["--size", &size.to_string()]);
    command.args(["--seconds", &args.seconds.as_secs_f64().to_string()]);
    if prewritten {
        command.arg("--prewritten");
    }
    finished(&mut command)
}
