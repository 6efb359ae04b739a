//! What a log's size costs: how long it takes to open, and to append to. The log is written by the node.

use crate::aims::{Aim, Wanted};
use crate::args::{Run, Shape};
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::machine::{forget_pages, free_bytes};
use crate::process::{Load, Programs, Server, fill};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The one that it is compared with.
const SMALL_BYTES: u64 = 100_000_000;
/// The last stretch of both is written one record a request: what is read at a start holds many entries.
const SINGLES: u64 = 80_000;
/// The rest goes in as batches of one MiB.
const BATCH: u32 = 64;
const BATCH_RECORD_BYTES: u32 = 16 << 10;
const SPARE_BYTES: u64 = 2_000_000_000;

#[derive(Debug, Serialize)]
pub struct Large {
    pub bytes: u64,
    /// Seconds from the start of the process until it serves, one of each round.
    pub opened_warm: Vec<f64>,
    pub opened_cold: Vec<f64>,
    pub opened_after_kill: Vec<f64>,
    pub opened_small: Vec<f64>,
    pub appends: Vec<Appends>,
}

/// To the small and to the large log, in one round.
#[derive(Debug, Serialize)]
pub struct Appends {
    pub small_1: Figures,
    pub large_1: Figures,
    pub small_64: Figures,
    pub large_64: Figures,
}

impl Large {
    pub fn aims(&self) -> Vec<Aim> {
        vec![
            Aim {
                what: "opening the large log, not in the page cache, seconds".to_owned(),
                wanted: Wanted::AtMost(1.0),
                values: self.opened_cold.clone(),
            },
            Aim {
                what: "opening it after kill -9, in the page cache, seconds".to_owned(),
                wanted: Wanted::AtMost(1.0),
                values: self.opened_after_kill.clone(),
            },
            Aim {
                // No worse, but for what two rounds of the same differ by.
                what: "append p50 at 1 in flight, large log against small".to_owned(),
                wanted: Wanted::AtMost(1.1),
                values: self.appends.iter().map(|round| round.large_1.p50_us / round.small_1.p50_us).collect(),
            },
        ]
    }
}

pub fn run(args: &Run, programs: &Programs, scratch: &TempDir) -> Result<Large, BenchError> {
    let (free, needed) = (free_bytes(scratch.path())?, args.large_bytes + SMALL_BYTES + SPARE_BYTES);
    if free < needed {
        return Err(BenchError::NoRoom { dir: scratch.path().to_owned(), free, needed });
    }
    let small = build(args, programs, scratch.path().join("small"), SMALL_BYTES)?;
    let large = build(args, programs, scratch.path().join("large"), args.large_bytes)?;
    let mut measured = Large {
        bytes: args.large_bytes,
        opened_warm: Vec::new(),
        opened_cold: Vec::new(),
        opened_after_kill: Vec::new(),
        opened_small: Vec::new(),
        appends: Vec::new(),
    };
    for number in 1..=args.rounds {
        eprintln!("large log, round {number} of {}", args.rounds);
        let opened = |dir: &Path| Server::node(programs, dir).map(|node| (node.ready_after.as_secs_f64(), node));
        let (seconds, node) = opened(&small)?;
        measured.opened_small.push(seconds);
        node.terminate()?;
        forget_pages(&large)?;
        let (seconds, node) = opened(&large)?;
        measured.opened_cold.push(seconds);
        node.terminate()?;
        let (seconds, node) = opened(&large)?;
        measured.opened_warm.push(seconds);
        // A kill.
        drop(node);
        let (seconds, large_node) = opened(&large)?;
        measured.opened_after_kill.push(seconds);
        let (_, small_node) = opened(&small)?;
        let append = |node: &Server, in_flight, shape| {
            let load = Load { shape, in_flight, size: args.size, batch: 1, seconds: args.seconds };
            node.measured(&mut load.seedlog(programs, &node.addr))
        };
        let both = |in_flight, shape| {
            // Who comes first, alternates: the disk is not the same after a stretch of writing.
            if number % 2 == 0 {
                let large = append(&large_node, in_flight, shape)?;
                Ok::<_, BenchError>((append(&small_node, in_flight, shape)?, large))
            } else {
                Ok((append(&small_node, in_flight, shape)?, append(&large_node, in_flight, shape)?))
            }
        };
        let (small_1, large_1) = both(1, Shape::Unary)?;
        let (small_64, large_64) = both(64, Shape::Stream)?;
        measured.appends.push(Appends { small_1, large_1, small_64, large_64 });
        small_node.terminate()?;
        large_node.terminate()?;
    }
    Ok(measured)
}

/// A log of about `bytes`.
fn build(args: &Run, programs: &Programs, dir: PathBuf, bytes: u64) -> Result<PathBuf, BenchError> {
    eprintln!("writing a log of {} MB", bytes / 1_000_000);
    std::fs::create_dir(&dir).map_err(io(dir.display().to_string()))?;
    let node = Server::node(programs, &dir)?;
    let singles = SINGLES.min(bytes / 2 / u64::from(args.size));
    let batched = bytes.saturating_sub(singles * u64::from(args.size)) / u64::from(BATCH_RECORD_BYTES);
    fill(programs, &node.addr, batched.max(1), BATCH_RECORD_BYTES, BATCH)?;
    fill(programs, &node.addr, singles.max(1), args.size, 1)?;
    node.terminate()?;
    Ok(dir)
}
