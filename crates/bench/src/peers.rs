//! Three nodes of each, side by side: us, etcd and NATS, and one Redis. Each is asked as it is meant to be, with the
//! same records, and everything of one size runs on one file system, round by round.

mod aims;
mod page;
mod place;
mod servers;

use crate::args::Peers;
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::machine::{Machine, in_path};
use crate::process::Programs;
use crate::table;
use place::{Point, What};
use serde::Serialize;
use servers::{Found, Running};
use std::collections::BTreeMap;
use std::process::ExitCode;
use tempfile::TempDir;

pub type Round = BTreeMap<Point, Figures>;

const SIZES: [u32; 2] = [1024, 100];
const IN_FLIGHT: [u32; 3] = [1, 64, 256];

#[derive(Serialize)]
struct Raw<'a> {
    machine: &'a Machine,
    /// Of each round the rows' labels and figures.
    rounds: Vec<Vec<(String, &'a Figures)>>,
    aims: &'a [crate::aims::Aim],
}

pub fn run(args: &Peers) -> Result<ExitCode, BenchError> {
    std::fs::create_dir_all(&args.dir).map_err(io(args.dir.display().to_string()))?;
    let bench = std::env::current_exe().map_err(io("the path of this program"))?;
    let programs = Programs { seedlog: args.seedlog.clone(), bench, redis: in_path("redis-server") };
    let mut machine = Machine::look(&args.dir, &programs)?;
    let scratch = tempfile::Builder::new().prefix("seedlog-peers-").tempdir_in(&args.dir);
    let scratch = scratch.map_err(io(format!("a directory in {}", args.dir.display())))?;
    let found = Found::look(scratch.path())?;

    let mut rounds: Vec<Round> = Vec::new();
    let mut left_out = Vec::new();
    for number in 0..args.rounds {
        let mut round = Round::new();
        for size in SIZES {
            eprintln!("round {} of {}, records of {size} bytes", number + 1, args.rounds);
            round.extend(measure(args, &programs, &found, &scratch, size, number, &mut left_out)?);
        }
        rounds.push(round);
    }
    machine.look_again();

    let aims = aims::of_rounds(&rounds);
    let text = page::page(&machine, &found, args, &rounds, &aims, &left_out);
    print!("{text}");
    if let Some(path) = &args.page {
        page::put(path, &text)?;
    }
    if let Some(path) = &args.json {
        let raw = Raw { machine: &machine, rounds: rounds.iter().map(labelled).collect(), aims: &aims };
        let raw = serde_json::to_vec_pretty(&raw).expect("numbers and strings always encode");
        std::fs::write(path, raw).map_err(io(path.display().to_string()))?;
    }
    let missed = aims.iter().any(|aim| !aim.is_met());
    Ok(if args.strict && missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn labelled(round: &Round) -> Vec<(String, &Figures)> {
    round.iter().map(|(point, figures)| (point.to_string(), figures)).collect()
}

/// All rows of one size, with fresh servers and files.
fn measure(
    args: &Peers,
    programs: &Programs,
    found: &Found,
    scratch: &TempDir,
    size: u32,
    round: u32,
    left_out: &mut Vec<String>,
) -> Result<Round, BenchError> {
    let fresh = tempfile::tempdir_in(scratch.path()).map_err(io(scratch.path().display().to_string()))?;
    let mut running = Running::start(programs, found, fresh.path())?;
    let mut measured = Round::new();
    let writes = IN_FLIGHT.iter().flat_map(|many| turned(&What::WRITES, round).map(|what| (Some(*many), what)));
    let tails = turned(&What::TAILS, round).map(|what| (None, what));
    for (in_flight, what) in writes.chain(tails) {
        let point = Point { size, in_flight, what };
        match running.measure(programs, point, args.seconds) {
            Ok(figures) => measured.extend(figures.map(|figures| (point, figures))),
            // A peer that does not do it this time is a row with one round less, and is named.
            Err(error) if !what.is_ours() => {
                eprintln!("{point}: {error}");
                left_out.push(format!("round {}, {point}", round + 1));
            }
            Err(error) => return Err(error),
        }
    }
    running.stop()?;
    Ok(measured)
}

/// Another one is first in each round: what one leaves behind on the disk meets each of the others once.
fn turned(all: &[What], round: u32) -> impl Iterator<Item = What> {
    let first = round as usize % all.len();
    all[first..].iter().chain(&all[..first]).copied()
}

/// For a heading.
fn size_label(size: u32) -> String {
    match size {
        1024 => "1 KiB".to_owned(),
        size => format!("{size} B"),
    }
}

/// One of the tables.
fn rows(rounds: &[Round], wanted: impl Fn(&Point) -> bool) -> String {
    let only: Vec<Round> = rounds
        .iter()
        .map(|round| round.iter().filter(|(point, _)| wanted(point)).map(|(p, f)| (*p, f.clone())).collect())
        .collect();
    table::points(&only, |point| point.label())
}
