//! What a leader keeps for a follower that does not answer: nothing that grows. `ci/bench-memory` runs it.

use super::network::Cut;
use super::trial::{STEADY, Shape, trial_of};
use std::time::{Duration, Instant};

/// 2000 records of 1 KiB a second.
const LOAD: Shape =
    Shape { calling: 0, streaming: 4, pause: Duration::from_millis(2), value_bytes: 1024, tails: 0, ..STEADY };
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Caches fill until then.
const WARM_UP: Duration = Duration::from_secs(60);
/// Of what there was after the warm-up; the allocator alone makes it go up and down by so much.
const GROWS_AT_MOST: f64 = 1.25;

/// How long the follower is cut off: `CUT_OFF_SECONDS`, or ten minutes.
fn cut_off_for() -> Duration {
    let given = std::env::var("CUT_OFF_SECONDS").map(|given| given.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(600))
}

/// MiB of a process: its own memory, pages of files that it has mapped or read, and both.
struct Sample {
    own: f64,
    files: f64,
    resident: f64,
}

fn sample(pid: u32) -> Sample {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    Sample { own: mib("RssAnon:"), files: mib("RssFile:"), resident: mib("VmRSS:") }
}

#[test]
#[ignore = "takes ten minutes: ci/bench-memory runs it, as root"]
fn a_leaders_memory_stays_flat_while_a_follower_is_cut_off_under_load() {
    trial_of(&LOAD, |trial| {
        let leader = trial.cluster.leader();
        let [follower, other] = trial.cluster.others(leader);
        // For comparison: what the same load does by itself.
        if std::env::var_os("CUT_OFF_NOBODY").is_none() {
            trial.cluster.cut_off(follower, Cut::Both);
        }
        let cut = Instant::now();
        eprintln!(
            "| cut off for, s | acknowledged | records/s | RssAnon, MiB | RssFile, MiB | VmRSS, MiB | the other follower's RssAnon, MiB |"
        );
        eprintln!("|--:|--:|--:|--:|--:|--:|--:|");
        let mut samples = Vec::new();
        let mut before = trial.load.acked_count();
        for turn in 1.. {
            // A sample a beat, whatever the one before took.
            std::thread::sleep((SAMPLE_EVERY * turn).saturating_sub(cut.elapsed()));
            let leads = sample(trial.cluster.pid(leader));
            let follows = sample(trial.cluster.pid(other)).own;
            let (at, acked) = (cut.elapsed(), trial.load.acked_count());
            let rate = (acked - before) as f64 / SAMPLE_EVERY.as_secs_f64();
            let Sample { own, files, resident } = leads;
            let seconds = at.as_secs();
            eprintln!("| {seconds} | {acked} | {rate:.0} | {own:.1} | {files:.1} | {resident:.1} | {follows:.1} |");
            samples.push((at, own));
            before = acked;
            if at >= cut_off_for() {
                break;
            }
        }
        assert_eq!(trial.cluster.leader(), leader, "the one that was measured led all the while");
        let mended = Instant::now();
        trial.cluster.mend(follower);
        trial.cluster.votes(follower);
        eprintln!("the follower has caught up {:.1?} after the link was mended", mended.elapsed());
        let after = sample(trial.cluster.pid(leader)).own;

        let first = samples.iter().find(|(at, _)| *at >= WARM_UP.min(cut_off_for() / 2)).unwrap().1;
        let last = samples.last().unwrap().1;
        eprintln!("RssAnon of the leader, last against first: {:.2}; caught up: {after:.1} MiB", last / first);
        assert!(last <= first * GROWS_AT_MOST, "{first:.1} MiB, and {last:.1} MiB at the end");
    });
}
