//! `seedlog mirror`: the client crate's mirror, with a progress line, log lines and a summary.

pub mod args;

use crate::args::Output;
use crate::failure::Failure;

use crate::signals::Signals;
use args::Mirror as Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedlog_client::mirror::{Mirror, MirrorError, MirrorOptions, News, Progress, Standing};
use seedlog_client::{Cluster, ClusterOptions};
use seedlog_runtime::clock::{self, Instant};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// How long a call may take with all its tries; then it is said, and tried again.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How often the progress line is drawn, and how often, where there is no terminal, a line is logged.
const DRAWN_EVERY: Duration = Duration::from_millis(500);
const LOGGED_EVERY: Duration = Duration::from_secs(10);
/// The same trouble is not logged again within this time.
const TROUBLE_EVERY: Duration = Duration::from_secs(10);

pub async fn run(args: Args, format: Output) -> Result<ExitCode, Failure> {
    let options = ClusterOptions { call_max: CALL_MAX, ..ClusterOptions::default() };
    let source = Cluster::connect_with(&args.from, options.clone()).map_err(Failure::MirrorFrom)?;
    let destination = Cluster::connect_with(&args.addr, options)?;
    let options = MirrorOptions {
        start_at: args.start_at,
        resume_at: args.resume_at,
        skip_trimmed: args.skip_trimmed,
        ends_at_end: args.once,
        fencing_token: args.fencing_token,
        ..MirrorOptions::default()
    };
    let mirror = Mirror::new(source, destination, options);
    if args.status {
        let standing = mirror.standing().await.map_err(failed)?;
        return said(format, standing_json(&standing), standing_text(&standing));
    }
    let mut signals = Signals::install()?;
    let shown = Shown::new();
    let ended = seedlog_runtime::select! {
        () = signals.next() => Ok(()),
        ended = mirror.run(log()) => ended,
        never = shown.follow(&mirror) => never,
    };
    shown.bar.finish_and_clear();
    let progress = mirror.progress();
    let summary = said(format, progress_json(&progress), format!("{}\n", progress_text(&progress)));
    ended.map_err(failed)?;
    summary
}

fn failed(error: MirrorError) -> Failure {
    Failure::Mirror(Box::new(error))
}

/// Which flag helps, where one does.
pub fn hint(error: &MirrorError) -> &'static str {
    match error {
        MirrorError::Trimmed { .. } => "; see --skip-trimmed, and --start-at for a first start",
        MirrorError::MirroredBack { .. } => "; see --start-at",
        MirrorError::PositionLost { .. } => "; see --resume-at",
        MirrorError::Refused { .. } => "; see `seedlog describe` for its limits, and --fencing-token",
        _ => "",
    }
}

fn said(format: Output, as_json: Value, as_text: String) -> Result<ExitCode, Failure> {
    crate::admin::say(format, as_json, as_text)
}

/// Logs what happens; the same trouble only now and then.
fn log() -> impl FnMut(News) + Send {
    let mut last: Option<(MirrorError, Instant)> = None;
    move |news| match news {
        News::Began(Standing { source_id, destination_id, position, source_range }) => {
            last = None;
            tracing::info!(
                "mirroring {source_id} into {destination_id} from offset {}; the source has {}..{}",
                position.max(source_range.start),
                source_range.start,
                source_range.end
            );
        }
        News::Skipped { trimmed } => tracing::warn!(
            "offsets {} to {} of the source were trimmed before they were copied, and are left out",
            trimmed.start,
            trimmed.end - 1
        ),
        News::Trouble { error } => {
            let now = clock::now();
            let is_new = last.as_ref().is_none_or(|(known, at)| *known != error || *at + TROUBLE_EVERY <= now);
            if is_new {
                tracing::warn!("{error}; it is tried again");
                last = Some((error, now));
            }
        }
    }
}

/// The progress line, or log lines in its place.
struct Shown {
    bar: ProgressBar,
}

impl Shown {
    fn new() -> Shown {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("a template without mistakes");
        bar.set_style(style);
        Shown { bar }
    }

    /// For as long as it is polled.
    async fn follow<T>(&self, mirror: &Mirror) -> T {
        let mut logged = clock::now();
        loop {
            clock::sleep(DRAWN_EVERY).await;
            let progress = mirror.progress();
            self.bar.set_message(progress_text(&progress));
            self.bar.tick();
            if self.bar.is_hidden() && clock::now() >= logged + LOGGED_EVERY {
                logged = clock::now();
                tracing::info!(
                    position = progress.position,
                    source_end = progress.source_end,
                    lag = progress.lag(),
                    copied = progress.copied,
                    "mirroring"
                );
            }
        }
    }
}

fn progress_text(progress: &Progress) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let Progress { position, source_end, copied } = progress;
    let (position, source_end, lag) = (number(*position), number(*source_end), number(progress.lag()));
    format!("at offset {position} of {source_end}, lag {lag}, {copied} copied")
}

/// Null is what is not known.
fn progress_json(progress: &Progress) -> Value {
    json!({
        "position": progress.position,
        "source_end": progress.source_end,
        "lag": progress.lag(),
        "copied": progress.copied,
    })
}

fn standing_json(standing: &Standing) -> Value {
    json!({
        "source_id": standing.source_id,
        "destination_id": standing.destination_id,
        "position": standing.position,
        "source_first": standing.source_range.start,
        "source_end": standing.source_range.end,
        "lag": standing.lag(),
        "trimmed": standing.trimmed().map(|trimmed| [trimmed.start, trimmed.end]),
    })
}

fn standing_text(standing: &Standing) -> String {
    let Standing { source_id, destination_id, position, source_range } = standing;
    let trimmed = standing.trimmed().map(|trimmed| {
        let count = trimmed.end - trimmed.start;
        format!("{}..{} ({count} records), before they were copied", trimmed.start, trimmed.end)
    });
    let rows = [
        ("source", source_id.clone()),
        ("destination", destination_id.clone()),
        ("position", position.to_string()),
        ("source has", format!("{}..{}", source_range.start, source_range.end)),
        ("lag", format!("{} records", standing.lag())),
        ("trimmed", trimmed.unwrap_or_else(|| "nothing that was not copied".to_owned())),
    ];
    rows.iter().map(|(name, value)| format!("{name:12}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_says_what_it_knows() {
        let progress = Progress { position: Some(3), source_end: Some(10), copied: 2 };
        assert_eq!(progress_text(&progress), "at offset 3 of 10, lag 7, 2 copied");
        assert_eq!(progress_text(&Progress::default()), "at offset ? of ?, lag ?, 0 copied");
        assert_eq!(progress_json(&Progress::default())["lag"], Value::Null);
    }

    #[test]
    fn a_standing_names_what_is_missing() {
        let standing = Standing { source_id: "a".into(), destination_id: "b".into(), position: 2, source_range: 5..9 };
        assert!(standing_text(&standing).contains("2..5 (3 records)"), "{}", standing_text(&standing));
        assert_eq!(standing_json(&standing)["trimmed"], json!([2, 5]));
        assert_eq!(standing_json(&standing)["lag"], 4);
    }
}
