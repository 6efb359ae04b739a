//! Instructions per record: what a node executes under a fixed load, counted by callgrind. A busy machine changes the
//! time that it takes and hardly the count, so that a regression shows without a quiet one.

use crate::args::{Quick, Shape};
use crate::error::{BenchError, io};
use crate::process::{Programs, Server, finished, seedlog_bench};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// How far a count may be from the one that is kept, either way. What wakes whom differs from run to run, which makes
/// up to 3 %; another compiler or libc makes more, and is why it is not less.
const TOLERANCE: f64 = 0.10;
const SIZE: u32 = 1024;

/// One row: what is asked, and how many records are counted.
struct Load {
    name: &'static str,
    shape: Shape,
    in_flight: u32,
    /// Records of one request, or of one call of a tail.
    batch: u32,
    records: u32,
}

/// The tail is last: it reads what the others have written.
const LOADS: [Load; 5] = [
    Load { name: "unary_1", shape: Shape::Unary, in_flight: 1, batch: 1, records: 1000 },
    Load { name: "unary_64", shape: Shape::Unary, in_flight: 64, batch: 1, records: 4000 },
    Load { name: "stream_64", shape: Shape::Stream, in_flight: 64, batch: 1, records: 8000 },
    Load { name: "batches_of_64", shape: Shape::Stream, in_flight: 16, batch: 64, records: 32_000 },
    Load { name: "consume", shape: Shape::Consume, in_flight: 1, batch: 1024, records: 32_000 },
];

/// Instructions per record, by row.
type Counts = BTreeMap<String, f64>;

pub fn run(args: &Quick) -> Result<ExitCode, BenchError> {
    std::fs::create_dir_all(&args.dir).map_err(io(args.dir.display().to_string()))?;
    let dir = tempfile::Builder::new().prefix("seedlog-quick-").tempdir_in(&args.dir);
    let dir = dir.map_err(io(format!("a directory in {}", args.dir.display())))?;
    let counted = count(args, dir.path())?;
    if args.update {
        std::fs::write(&args.figures, kept(&counted)).map_err(io(args.figures.display().to_string()))?;
    }
    let before = std::fs::read_to_string(&args.figures).map_err(io(args.figures.display().to_string()))?;
    let (table, worse) = compare(&parse(&before), &counted);
    print!("{table}");
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn count(args: &Quick, dir: &Path) -> Result<Counts, BenchError> {
    let bench = std::env::current_exe().map_err(io("the path of this program"))?;
    let programs = Programs { seedlog: args.seedlog.clone(), bench, redis: None };
    let out = dir.join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    // Its debugger's pipes; the node's own files are in the same directory.
    command.arg(format!("--vgdb-prefix={}", dir.join("vgdb").display())).arg(&args.seedlog);
    let node = Server::node_as(command, &dir.join("node"))?;
    let gdb = |what: &str| {
        let mut command = Command::new("vgdb");
        command.arg(format!("--vgdb-prefix={}", dir.join("vgdb").display()));
        command.arg(format!("--pid={}", node.pid())).arg(what);
        succeeded(&mut command)
    };
    let mut counts = Counts::new();
    for (number, load) in LOADS.iter().enumerate() {
        eprintln!("{}, {} records", load.name, load.records);
        // A connection and its first call, a cold cache: not what is counted.
        finished(&mut client(&programs, &node.addr, load, load.batch.max(100)))?;
        gdb("zero")?;
        finished(&mut client(&programs, &node.addr, load, load.records))?;
        gdb("dump")?;
        let dump = out.with_extension(format!("out.{}", number + 1));
        let text = std::fs::read_to_string(&dump).map_err(io(dump.display().to_string()))?;
        let total = total(&text).ok_or_else(|| BenchError::Unexpected {
            program: "callgrind".to_owned(),
            said: dump.display().to_string(),
            wanted: "a dump with a line `totals:`",
        })?;
        counts.insert(load.name.to_owned(), total as f64 / f64::from(load.records));
    }
    Ok(counts)
}

fn client(programs: &Programs, addr: &str, load: &Load, records: u32) -> Command {
    let mut command = seedlog_bench(programs);
    command.args(["--warm-up", "0", "--addr", addr, "--size", &SIZE.to_string(), "--count", &records.to_string()]);
    command.args(["--in-flight", &load.in_flight.to_string()]);
    let mode = match (load.shape, load.batch) {
        (Shape::Unary, _) => "unary",
        (Shape::Stream, 1) => "stream",
        (Shape::Stream, _) => "batch",
        (Shape::Consume, _) => "consume",
    };
    command.args(["--mode", mode]);
    if load.batch > 1 {
        command.args(["--batch", &load.batch.to_string()]);
    }
    command
}

fn succeeded(command: &mut Command) -> Result<(), BenchError> {
    let program = format!("{command:?}");
    let output = command.output().map_err(|error| BenchError::Start { program: program.clone(), error })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(BenchError::Ended { program, status: output.status.to_string(), stderr })
}

/// Instructions in one of callgrind's dumps.
fn total(dump: &str) -> Option<u64> {
    dump.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

fn kept(counts: &Counts) -> String {
    let mut text = String::from(
        "# Instructions that a node executes for one record: `ci/bench --quick`, which says how they are counted, holds\n\
         # against these; `ci/bench --quick --update` writes them anew. They are of one compiler and one libc.\n",
    );
    for (name, count) in counts {
        let _ = writeln!(text, "{name} {count:.0}");
    }
    text
}

fn parse(kept: &str) -> Counts {
    let lines = kept.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).filter_map(|(n, c)| Some((n.to_owned(), c.parse().ok()?))).collect()
}

/// The table, and whether anything is worse than it was or has nothing to be held against.
fn compare(before: &Counts, now: &Counts) -> (String, bool) {
    let mut table = String::from("| instructions per record | kept | counted | |\n|---|--:|--:|---|\n");
    let mut worse = false;
    for load in &LOADS {
        let Some(counted) = now.get(load.name) else { continue };
        let (kept, verdict) = match before.get(load.name) {
            None => ("-".to_owned(), "nothing is kept: --update".to_owned()),
            Some(kept) => {
                let ratio = counted / kept;
                let verdict = match ratio {
                    ratio if ratio > 1.0 + TOLERANCE => format!("MORE: {ratio:.2} times"),
                    ratio if ratio < 1.0 - TOLERANCE => format!("less, {ratio:.2} times: --update keeps it so"),
                    ratio => format!("{ratio:.2} times"),
                };
                worse |= ratio > 1.0 + TOLERANCE;
                (format!("{kept:.0}"), verdict)
            }
        };
        worse |= kept == "-";
        let _ = writeln!(table, "| {} | {kept} | {counted:.0} | {verdict} |", load.name);
    }
    (table, worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: [(&str, f64); 2]) -> Counts {
        all.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn what_is_kept_is_read_back_and_a_tenth_more_is_worse() {
        let before = counts([("consume", 1000.0), ("unary_1", 2000.0)]);
        assert_eq!(parse(&kept(&before)), before);
        assert!(!compare(&before, &counts([("consume", 1090.0), ("unary_1", 500.0)])).1);
        let (table, worse) = compare(&before, &counts([("consume", 1110.0), ("unary_1", 2000.0)]));
        assert!(worse && table.contains("| consume | 1000 | 1110 | MORE: 1.11 times |"), "{table}");
        assert!(compare(&Counts::new(), &before).1, "nothing to hold it against");
    }

    #[test]
    fn the_total_of_a_dump_is_found() {
        assert_eq!(total("# callgrind format\nfn=(1) x\n1 2\n\ntotals: 1234567\n"), Some(1_234_567));
        assert_eq!(total("events: Ir\n"), None);
    }
}
