//! `seedlog scrub`: a running node's own look at all of its log.

use crate::admin::args::Scrub;
use crate::args::Output;
use crate::connect::{self, Found};
use crate::failure::{DAMAGED, Failure};
use crate::output;
use crate::size::Size;
use indicatif::{ProgressBar, ProgressStyle};
use seedlog_client::ScrubResponse;
use serde_json::json;
use std::process::ExitCode;

pub async fn run(args: Scrub, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, .. } = connect::server(&args.connection).await?;
    let failed = |error| Failure::call(&addr, error);
    // With what is written ahead: about as much as there is to read.
    let bar = ProgressBar::new(client.describe().await.map_err(failed)?.bytes);
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg}");
    bar.set_style(style.expect("a template that parses"));
    let scrubbed = client.scrub(|seen| {
        bar.set_position(seen.bytes);
        if seen.damaged_segments > 0 {
            bar.set_message(format!("{} segments damaged, {} healed", seen.damaged_segments, seen.healed_segments));
        }
    });
    let scrubbed = scrubbed.await.map_err(failed)?;
    bar.finish_and_clear();
    let ScrubResponse { bytes, damaged_segments, healed_segments, lost, .. } = &scrubbed;
    match format {
        Output::Json => output::json(&json!({
            "bytes": bytes,
            "damaged_segments": damaged_segments,
            "healed_segments": healed_segments,
            "lost": lost,
        })),
        Output::Text => output::bytes(as_text(&scrubbed).as_bytes()),
    }
    .map_err(Failure::Stdout)?;
    Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn as_text(ScrubResponse { bytes, damaged_segments, healed_segments, lost, .. }: &ScrubResponse) -> String {
    let read = Size(*bytes);
    let mut text = match (damaged_segments, healed_segments) {
        (0, _) => format!("{read} read, all as it was written\n"),
        (damaged, healed) => {
            format!("{read} read; segments that were damaged: {damaged}, of which whole again: {healed}\n")
        }
    };
    for what in lost {
        text.push_str(&format!("DAMAGED: {what}\n"));
    }
    text
}
