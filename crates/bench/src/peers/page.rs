//! The tables, and where they go.

use super::servers::Found;
use super::{Round, SIZES, rows, size_label};
use crate::aims::Aim;
use crate::args::Peers;
use crate::error::{BenchError, io};
use crate::machine::Machine;
use crate::table;
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- ci/bench-peers -->";
const END: &str = "<!-- end -->";

pub fn page(
    machine: &Machine,
    found: &Found,
    args: &Peers,
    rounds: &[Round],
    aims: &[Aim],
    left_out: &[String],
) -> String {
    let Machine { cpu, cpus, kernel, file_system, seedlog, redis, load } = machine;
    let redis = redis.as_ref().map_or("Redis left out: not in PATH".to_owned(), |version| format!("Redis {version}"));
    let mut out = format!(
        "{cpu}, {cpus} processors; Linux {kernel}; {file_system}; load {} before, {} after.\n\
         seedlog {seedlog}; {}; {redis}. NATS, synced: {}.\n\
         {} rounds of {} s each; medians, in brackets least and most.\n\n",
        load[0],
        load[1],
        found.versions.join("; "),
        found.nats_synced,
        args.rounds,
        args.seconds.as_secs_f64(),
    );
    if !left_out.is_empty() {
        let _ = write!(out, "Failed and left out: {}.\n\n", left_out.join("; ").replace("**", ""));
    }
    out += &table::aims(aims);
    for size in SIZES {
        let _ = write!(out, "\nRecords of {}:\n\n{}", size_label(size), rows(rounds, |point| point.size == size));
    }
    // One empty line at its end is the caller's.
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// Puts `text` between the two lines.
pub fn put(path: &Path, text: &str) -> Result<(), BenchError> {
    let whole = std::fs::read_to_string(path).map_err(io(path.display().to_string()))?;
    let new = between(&whole, text).map_err(|line| BenchError::NoMarker { path: path.to_owned(), line })?;
    std::fs::write(path, new).map_err(io(path.display().to_string()))
}

/// # Errors
/// The line that is not there.
fn between(whole: &str, text: &str) -> Result<String, &'static str> {
    let (before, rest) = whole.split_once(BEGIN).ok_or(BEGIN)?;
    let (_, after) = rest.split_once(END).ok_or(END)?;
    Ok(format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- ci/bench-peers -->\nold\n<!-- end -->\nb\n";
        let new = between(page, "new\n").unwrap();
        assert_eq!(new, "a\n<!-- ci/bench-peers -->\n\nnew\n\n<!-- end -->\nb\n");
        assert_eq!(between(&new, "new\n").unwrap(), new);
        assert_eq!(between("a", "new"), Err(BEGIN));
        assert_eq!(between(BEGIN, "new"), Err(END));
    }
}
