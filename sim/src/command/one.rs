//! One run, and what is shown of it.

use super::{Output, Size, artefact, failure, read_plan, say, table, write};
use crate::plan::Plan;
use crate::run::{Options, Report, run};
use crate::watchdog;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct RunArgs {
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A plan in TOML, instead of a seed's: of `plan`, of `shrink`, or what a sweep kept of a failure.
    #[arg(long, conflicts_with_all = ["seed", "nodes", "mirror"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Prints every event as it happens, to stderr.
    #[arg(long)]
    events: bool,
    /// Writes the run as one page to look at: nodes down, time across.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes it as a trace in Chrome's JSON, which ui.perfetto.dev opens.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[arg(long, hide = true)]
    canary: bool,
    /// The product's own log lines, to stderr: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long)]
    log: Option<String>,
}

pub fn one(args: &RunArgs) -> Result<bool, String> {
    if let Some(filter) = &args.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| format!("--log: {error}"))?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    }
    let (plan, again) = match (&args.plan, args.seed) {
        (Some(file), _) => (read_plan(file)?, format!("cargo sim run --plan {}", file.display())),
        (None, Some(seed)) => (args.size.plan(seed), args.size.again(seed)),
        (None, None) => return Err("give --seed or --plan".to_owned()),
    };
    watchdog::watch();
    let started = Instant::now();
    let record = args.html.is_some() || args.trace.is_some();
    let (report, timeline) = run(&plan, Options { echo: args.events, record, canary: args.canary });
    let wall_s = started.elapsed().as_secs_f64();
    if let Some(timeline) = timeline {
        args.html.as_ref().map_or(Ok(()), |file| write(file, &timeline.html()))?;
        args.trace.as_ref().map_or(Ok(()), |file| write(file, &timeline.chrome_trace()))?;
    }
    let failed = !report.violations.is_empty();
    match args.output {
        Output::Json => say!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?),
        Output::Text => tell(report, &plan, &again, wall_s),
    }
    Ok(!failed)
}

fn tell(report: Report, plan: &Plan, again: &str, wall_s: f64) {
    let simulated_s = report.simulated_ns as f64 / 1e9;
    failure::tell(&report, plan, again);
    say!(
        "seed {}, {} nodes: {} acked, {} unanswered, {} read; {} events, trace hash {}",
        report.seed,
        report.nodes,
        report.acked_records,
        report.unknown_produces,
        report.read_records,
        report.events,
        report.trace_hash
    );
    say!("{simulated_s:.1} simulated seconds in {wall_s:.2} s: {:.0} a second", simulated_s / wall_s);
    say!("{}", table(&report.fired));
    if let Some(kept) = &plan.failure {
        say!("{}", artefact::compare(kept, artefact::failure(&Ok(report)).as_ref()));
    }
}
