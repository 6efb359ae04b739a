//! Whether the same seed does the same, in any process and build.

use super::{Size, build, say, seeds};
use crate::each::{run_each, this_program};
use clap::Args;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

#[derive(Args)]
pub struct MetaArgs {
    #[arg(long, value_parser = seeds, default_value = "0..10")]
    seeds: Range<u64>,
    /// Puts something into each trace that differs from process to process: this must fail.
    #[arg(long)]
    canary: bool,
    #[command(flatten)]
    size: Size,
}

pub fn meta(MetaArgs { seeds, canary, size }: &MetaArgs) -> Result<bool, String> {
    // The other one takes its place.
    let kept = tempfile::tempdir().map_err(|error| error.to_string())?;
    let here = kept.path().join("seedlog-sim");
    this_program().and_then(|this| std::fs::copy(this, &here)).map_err(|error| error.to_string())?;
    let other = build::build(Path::new("."), build::How::Unoptimised, build::Told::AsItComes)?;
    if std::fs::read(&here).ok() == std::fs::read(&other).ok() {
        return Err("this build is not optimised itself: there is no other to compare it with".to_owned());
    }
    let mut hashes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let canary = canary.then(|| "--canary".to_owned());
    let extra: Vec<String> = size.arguments().into_iter().chain(canary).collect();
    for program in [&here, &here, &other] {
        run_each(program, &extra, seeds.clone(), 2, |result| {
            let (seed, hash) = match result {
                Ok(done) => (done.seed, format!("{} over {} events", done.trace_hash, done.events)),
                Err(broken) => (broken.seed, format!("no report: {}", broken.status)),
            };
            hashes.entry(seed).or_default().push(hash);
            true
        })
        .map_err(|error| error.to_string())?;
    }
    let mut same = true;
    for (seed, hashes) in &hashes {
        if hashes.iter().all(|hash| *hash == hashes[0] && !hash.starts_with("no report")) {
            say!("seed {seed}: {}", hashes[0]);
        } else {
            same = false;
            say!(
                "seed {seed} failed: determinism: twice in this build, then in one that is not optimised: {hashes:#?}"
            );
        }
    }
    say!("{} seeds, each twice in this build and once in one that is not optimised", hashes.len());
    Ok(same)
}
