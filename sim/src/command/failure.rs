//! A failed run, for people: what broke, when, under which faults, what was seen last, and how to see it again.

use super::{commit, say};
use crate::each::Broken;
use crate::plan::{Mirroring, Plan};
use crate::run::Report;

/// `again`: the command that does it again.
pub fn tell(report: &Report, plan: &Plan, again: &str) {
    let Some(first) = report.violations.first() else { return };
    say!("seed {} failed: {}: {}", report.seed, first.check, first.what);
    for more in &report.violations[1..] {
        say!("  also {}: {}", more.check, more.what);
    }
    say!("\n  commit  {}", commit());
    say!("  again   {again}");
    if let Some(at) = first.at_s {
        say!("  at      {at:.6} simulated seconds");
    }
    tell_faults(plan);
    say!("\n  last events of those concerned:");
    report.last_events.iter().for_each(|event| say!("    {event}"));
    say!();
}

/// One that gave no report.
pub fn tell_broken(broken: &Broken, plan: &Plan, again: &str) {
    const LAST_LINES: usize = 12;
    say!("seed {} failed: {}", plan.seed, broken.cause());
    say!("\n  commit  {}", commit());
    say!("  again   {again}");
    tell_faults(plan);
    say!("\n  last words:");
    let lines: Vec<&str> = broken.stderr.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().for_each(|line| say!("    {line}"));
    say!();
}

fn tell_faults(plan: &Plan) {
    say!("\n  faults of the plan, for {} nodes:", plan.nodes);
    plan.faults.iter().for_each(|planned| say!("    {planned}"));
    if plan.faults.is_empty() {
        say!("    none");
    }
    if !plan.buggify.is_empty() {
        let points = plan.buggify.iter().map(|it| format!("{} {} of 1,000", it.point, it.per_mille));
        say!("\n  rare but legal: {}", points.collect::<Vec<_>>().join(", "));
    }
    let Some(Mirroring { destination, crashes, .. }) = &plan.mirror else { return };
    say!("\n  faults of the destination, for {} nodes:", destination.nodes);
    destination.faults.iter().for_each(|planned| say!("    {planned}"));
    say!("\n  the mirror is killed:");
    crashes.iter().for_each(|crash| say!("    at {} ms, for {} ms", crash.at_ms, crash.down_ms));
}
