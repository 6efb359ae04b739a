//! `seedlog bench`: how fast a node acknowledges and hands out records.

pub mod args;
mod budget;
mod figures;
mod load;
mod target;

use crate::args::Output;
use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;
use args::{BadShape, Bench, Mode, Shape};
use budget::{Budget, Until};
use figures::{Figures, Recorder};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedlog_client::{ApiError, Client, Error, Options};
use seedlog_runtime::clock;
use serde::Serialize;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use target::OwnNode;

/// What there is at least to consume; all of it is in the page cache then.
const CONSUMED_RECORDS: u64 = 100_000;
const FILL_IN_FLIGHT: u32 = 256;
/// A call that waits for a slow disk is measured, not given up.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Shape(#[from] BadShape),
    #[error("--data-dir: no directory can be made in {}: {error}", parent.display())]
    Dir { parent: PathBuf, error: io::Error },
    #[error("--size {size}: a record of {bytes} bytes is over the node's limit of {max}")]
    RecordTooLarge { size: usize, bytes: usize, max: usize },
    #[error("--batch {records} records of --size {size}: {bytes} bytes are over the node's limit for a batch, {max}")]
    BatchTooLarge { records: u32, size: usize, bytes: usize, max: usize },
    #[error("{addr} does not say which records it has: is it a seedlog node?")]
    NoRange { addr: String },
    #[error("interrupted before anything was measured")]
    Interrupted,
}

impl BenchError {
    /// Whether other arguments would have done.
    pub fn is_usage(&self) -> bool {
        matches!(self, BenchError::Shape(_) | BenchError::RecordTooLarge { .. } | BenchError::BatchTooLarge { .. })
    }
}

#[derive(Debug, Serialize)]
struct Report {
    addr: String,
    /// Of the own node's directory.
    file_system: Option<String>,
    #[serde(flatten)]
    shape: Shape,
    /// Acknowledged or read before the measured part.
    warm_up_records: u64,
    interrupted: bool,
    #[serde(flatten)]
    figures: Figures,
}

pub async fn run(args: Bench, format: Output) -> Result<ExitCode, Failure> {
    let shape = args.shape().map_err(BenchError::from)?;
    let signals = Signals::install()?;
    let own = match args.addr {
        Some(_) => None,
        None => Some(OwnNode::start(args.data_dir.as_deref()).await?),
    };
    let addr = match (&args.addr, &own) {
        (Some(addr), _) => addr.clone(),
        (None, Some(own)) => own.addr(),
        (None, None) => unreachable!("without an address there is a node of its own"),
    };
    let file_system = own.as_ref().and_then(|own| target::file_system(own.dir()));
    if file_system.as_deref() == Some("tmpfs") {
        eprintln!("the directory is on tmpfs, where a sync does nothing; --data-dir chooses another file system");
    }
    let measured = measure(&args, shape, addr, file_system, signals).await;
    if let Some(own) = own {
        own.shutdown().await;
    }
    let report = measured?;
    match format {
        Output::Json => output::json(&report),
        Output::Text => output::bytes(figures::table(&report.shape, &report.figures).as_bytes()),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    args: &Bench,
    shape: Shape,
    addr: String,
    file_system: Option<String>,
    signals: Signals,
) -> Result<Report, Failure> {
    let options = Options {
        answer_max: ANSWER_MAX,
        // The load keeps its own window.
        in_flight_max: args::IN_FLIGHT_MAX as usize,
        past_errors: false,
        tail_records_max: shape.batch_records,
    };
    let mut driver = Driver { client: Client::connect_with(&addr, options)?, addr, shape, signals };
    let until = args.count.map_or(Until::Elapsed(args.duration), Until::Records);

    let offsets = match shape.mode {
        Mode::Consume => driver.fill(until).await?,
        // The first call fails for what would make all of them fail.
        Mode::Unary | Mode::Stream | Mode::Batch => {
            driver.load("trying", 0..0, Until::Records(1)).await?;
            0..0
        }
    };
    let warm_up = driver.load("warming up", offsets.clone(), Until::Elapsed(args.warm_up)).await?;
    if warm_up.interrupted {
        return Err(BenchError::Interrupted.into());
    }
    let done = driver.load("measuring", offsets, until).await?;
    let Driver { addr, shape, .. } = driver;
    let figures = done.recorder.figures(done.elapsed);
    let warm_up_records = warm_up.recorder.figures(warm_up.elapsed).records;
    Ok(Report { addr, file_system, shape, warm_up_records, interrupted: done.interrupted, figures })
}

struct Driver {
    client: Client,
    addr: String,
    shape: Shape,
    signals: Signals,
}

struct Done {
    recorder: Recorder,
    elapsed: Duration,
    interrupted: bool,
}

impl Driver {
    /// Makes calls, with a bar on a terminal. Ctrl-C finishes what was begun.
    async fn load(&mut self, what: &'static str, offsets: Range<u64>, until: Until) -> Result<Done, Failure> {
        let budget = Arc::new(Budget::new(until, self.shape.batch_records));
        let bar = progress(what, until);
        let mut loading = std::pin::pin!(load::load(&self.client, self.shape, offsets, &budget));
        let mut interrupted = false;
        let done = loop {
            seedlog_runtime::select! {
                done = &mut loading => break done,
                () = self.signals.next() => {
                    // Twice: not waiting for answers either.
                    if std::mem::replace(&mut interrupted, true) {
                        return Err(BenchError::Interrupted.into());
                    }
                    budget.stop();
                }
                () = clock::sleep(TICK) => advance(&bar, until, &budget),
            }
        };
        bar.finish_and_clear();
        match done {
            Ok(recorder) => Ok(Done { recorder, elapsed: budget.elapsed(), interrupted }),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Sees to it that there is something to consume.
    async fn fill(&mut self, until: Until) -> Result<Range<u64>, Failure> {
        let wanted = match until {
            Until::Records(records) => records.min(CONSUMED_RECORDS),
            Until::Elapsed(_) => CONSUMED_RECORDS,
        };
        let there = self.range().await?;
        let missing = wanted.saturating_sub(there.end - there.start);
        if missing == 0 {
            return Ok(there);
        }
        let consume = self.shape;
        self.shape = Shape { mode: Mode::Stream, batch_records: 1, in_flight: FILL_IN_FLIGHT, ..consume };
        let filled = self.load("filling the log", 0..0, Until::Records(missing)).await?;
        self.shape = consume;
        if filled.interrupted { Err(BenchError::Interrupted.into()) } else { self.range().await }
    }

    async fn range(&self) -> Result<Range<u64>, Failure> {
        let servers = self.client.servers().await.map_err(|error| Failure::call(&self.addr, error))?;
        // Only the server that was asked says which version it is, and what it has.
        let asked = servers.iter().find(|server| !server.version.is_empty());
        let asked = asked.ok_or_else(|| BenchError::NoRange { addr: self.addr.clone() })?;
        Ok(asked.first_offset..asked.next_offset)
    }

    fn failure(&self, error: Error) -> Failure {
        let Shape { size_bytes: size, batch_records: records, .. } = self.shape;
        match error {
            Error::Server(ApiError::RecordTooLarge { bytes, max, .. }) => {
                BenchError::RecordTooLarge { size, bytes, max }.into()
            }
            Error::Server(ApiError::BatchTooLarge { bytes, max }) => {
                BenchError::BatchTooLarge { records, size, bytes, max }.into()
            }
            error => Failure::call(&self.addr, error),
        }
    }
}

/// Drawn on a terminal only; indicatif sees to that.
fn progress(what: &'static str, until: Until) -> ProgressBar {
    let length = match until {
        Until::Elapsed(duration) => duration.as_millis() as u64,
        Until::Records(records) => records,
    };
    let bar = ProgressBar::new(length);
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    bar.set_prefix(what);
    bar.with_style(ProgressStyle::with_template("{prefix} {bar:40} {msg}").expect("the template is constant"))
}

fn advance(bar: &ProgressBar, until: Until, budget: &Budget) {
    let records = budget.records_done();
    bar.set_position(match until {
        Until::Elapsed(_) => budget.elapsed().as_millis() as u64,
        Until::Records(_) => records,
    });
    let rate = records as f64 / budget.elapsed().as_secs_f64().max(1e-9);
    bar.set_message(format!("{records} records, {rate:.0}/s"));
}
