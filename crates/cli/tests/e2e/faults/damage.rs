//! A disk that loses what it was given.

use super::cluster::{Cluster, eventually};
use super::network::Cut;
use super::trial::{STEADY, Shape, Trial, trial_of};
use crate::node::must;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// So that there are closed ones soon.
const SMALL_SEGMENTS: Shape = Shape { segment_bytes_max: "64KiB", ..STEADY };

/// By their first entries.
fn stores(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut stores: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|it| it == "store")).collect();
    stores.sort();
    stores
}

/// Two closed segments of a log, not the newest of those.
fn closed(dir: &Path) -> Option<[PathBuf; 2]> {
    let stores = stores(dir);
    (stores.len() >= 5).then(|| [stores[0].clone(), stores[stores.len() - 3].clone()])
}

fn flip(store: &Path) {
    let file = fs::File::options().read(true).write(true).open(store).unwrap();
    let length = file.metadata().unwrap().len();
    for at in [length / 3, length / 2] {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        file.write_all_at(&bytes.map(|byte| byte ^ 0x55), at).unwrap();
    }
}

fn shorten(store: &Path) {
    let file = fs::File::options().write(true).open(store).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn lose_the_index(store: &Path) {
    fs::remove_file(store.with_extension("index")).unwrap();
}

fn lose_the_segment(store: &Path) {
    for extension in ["store", "index", "state"] {
        match fs::remove_file(store.with_extension(extension)) {
            // The log's first state is that before all entries, and has no file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && extension == "state" => {}
            removed => removed.unwrap(),
        }
    }
}

/// What the others of a node have given away for repairs.
fn lent(cluster: &Cluster, than: usize) -> f64 {
    cluster.others(than).iter().map(|number| cluster.metrics(*number).get("lent_entries_total")).sum()
}

/// Of a node that has all again, and knows it.
fn nothing_ails(cluster: &Cluster, number: usize) {
    eventually("nothing is lost any more", || {
        let seen = cluster.metrics(number);
        let bad = ["ailing", "ailing_seconds", "marked", "repairing", "heal_given_up_total"];
        (seen.get("ready") == 1.0 && bad.iter().all(|name| seen.get(name) == 0.0)).then_some(())
    });
    // A disk that loses what it has synced leaves traces here.
    assert_eq!(cluster.metrics(number).get("lost_without_a_trace_entries_total"), 0.0);
}

/// The node goes, its disk loses something, and it comes back: whole, with nobody's help but the others'. Returns how many
/// entries it was given.
fn heals(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) -> f64 {
    let dir = trial.cluster.group_dir(number);
    eventually("some segments are closed", || closed(&dir));
    let lent_before = lent(&trial.cluster, number);
    trial.cluster.kill(number);
    let killed = Instant::now();
    let stores = closed(&dir).unwrap();
    stores.iter().for_each(|store| damage(store));
    trial.cluster.start(number);
    trial.resumes(killed, what);
    trial.cluster.votes(number);
    assert!(stores.iter().all(|store| store.exists()), "{what}: {stores:?}");
    nothing_ails(&trial.cluster, number);
    let repaired = trial.cluster.metrics(number).get("repaired_entries_total");
    let lent = lent(&trial.cluster, number) - lent_before;
    eprintln!("{what}: {repaired} entries were given to it");
    // What was given may not have arrived, and is given again then.
    assert!(lent >= repaired && (lent > 0.0) == (repaired > 0.0), "{what}: {lent} lent, {repaired} repaired");
    trial.some_more();
    repaired
}

/// As above, and it reaches nobody at first: it says that it repairs its log, to who asks.
fn waits_to_heal(trial: &mut Trial, number: usize, what: &str) {
    let dir = trial.cluster.group_dir(number);
    eventually("some segments are closed", || closed(&dir));
    trial.cluster.kill(number);
    closed(&dir).unwrap().iter().for_each(|store| flip(store));
    trial.cluster.cut_off(number, Cut::Both);
    trial.cluster.start(number);
    eventually("it repairs its log", || (trial.cluster.metrics(number).get("repairing") == 1.0).then_some(()));
    let seen = trial.cluster.metrics(number);
    assert_eq!([seen.get("ready"), seen.get("repaired_entries_total")], [0.0, 0.0], "{what}: {seen:?}");
    let mended = Instant::now();
    trial.cluster.mend(number);
    trial.resumes(mended, what);
    trial.cluster.votes(number);
    nothing_ails(&trial.cluster, number);
    assert!(trial.cluster.metrics(number).get("repaired_entries_total") > 0.0, "{what}");
    trial.some_more();
}

fn lose_the_store(store: &Path) {
    fs::remove_file(store).unwrap();
}

fn lose_the_header(store: &Path) {
    let file = fs::File::options().write(true).open(store).unwrap();
    file.write_all_at(&[0x55; 64], 0).unwrap();
}

/// As above, and nobody can say where the log ended: it votes when it has all that it may have acknowledged, and until it
/// reaches somebody it says that it does not.
fn heals_the_end(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) {
    let dir = trial.cluster.group_dir(number);
    eventually("some segments are closed", || closed(&dir));
    trial.cluster.kill(number);
    let killed = Instant::now();
    damage(&stores(&dir).pop().unwrap());
    trial.cluster.cut_off(number, Cut::Both);
    trial.cluster.start(number);
    trial.resumes(killed, what);
    eventually("it is marked", || (trial.cluster.metrics(number).find("marked") == Some(1.0)).then_some(()));
    trial.cluster.mend(number);
    trial.cluster.votes(number);
    eventually("nothing is owed any more", || (!dir.join("mark").exists()).then_some(()));
    nothing_ails(&trial.cluster, number);
    trial.some_more();
}

/// The node goes on while its disk loses something: a scrub finds it, and what is lost comes back.
fn heals_in_use(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) {
    let dir = trial.cluster.group_dir(number);
    let stores = eventually("some segments are closed", || closed(&dir));
    let (before, lent_before) = (trial.cluster.metrics(number), lent(&trial.cluster, number));
    stores.iter().for_each(|store| damage(store));
    let scrub = || {
        let scrubbed = must(&["scrub", "--output", "json", "--addr", &trial.cluster.address(number)], b"");
        serde_json::from_slice::<Value>(&scrubbed).unwrap()
    };
    let found = scrub();
    assert_eq!([&found["damaged_segments"], &found["healed_segments"]], [2, 2], "{what}: {found}");
    assert_eq!(scrub()["damaged_segments"], 0, "{what}");
    nothing_ails(&trial.cluster, number);
    let after = trial.cluster.metrics(number);
    let rose = |name: &str| after.get(name) - before.get(name);
    let (healed, lent) = (rose("healed_entries_total"), lent(&trial.cluster, number) - lent_before);
    eprintln!("{what}: {healed} entries were given to it");
    assert_eq!(rose("healed_segments_total"), 2.0, "{what}: {before:?} {after:?}");
    assert!(healed > 0.0 && lent >= healed, "{what}: {lent} lent, {before:?} {after:?}");
    // The node's own scrub may have come by, too.
    assert!(rose("scrub_damaged_segments_total") >= 2.0 && rose("scrub_passes_total") >= 2.0, "{what}: {after:?}");
    assert!(rose("scrubbed_bytes_total") > 0.0, "{what}: {after:?}");
    assert_eq!(rose("repaired_entries_total"), 0.0, "that is of a start: {what}: {after:?}");
    trial.some_more();
}

/// As above, and it reaches nobody at first: it shows that something is lost, and for how long.
fn waits_to_heal_in_use(trial: &mut Trial, number: usize, what: &str) {
    let dir = trial.cluster.group_dir(number);
    let stores = eventually("some segments are closed", || closed(&dir));
    trial.cluster.cut_off(number, Cut::Both);
    stores.iter().for_each(|store| flip(store));
    // It is not scrubbed where nobody leads.
    trial.cluster.read_through(number);
    eventually("it shows what is lost", || {
        let seen = trial.cluster.metrics(number);
        (seen.get("ailing") == 1.0 && seen.get("ailing_seconds") > 0.0).then_some(())
    });
    let mended = Instant::now();
    trial.cluster.mend(number);
    trial.resumes(mended, what);
    trial.cluster.votes(number);
    nothing_ails(&trial.cluster, number);
    trial.some_more();
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn what_one_node_of_three_has_lost_is_healed_under_load_and_all_logs_are_the_same() {
    trial_of(&SMALL_SEGMENTS, |trial| {
        let leader = trial.cluster.leader();
        let [one, other] = trial.cluster.others(leader);
        assert!(heals(trial, one, flip, "kill -9 of a follower, some of whose bytes flip") > 0.0);
        assert!(heals(trial, other, shorten, "kill -9 of a follower, two of whose stores are cut") > 0.0);
        let leader = trial.cluster.leader();
        assert!(heals(trial, leader, lose_the_segment, "kill -9 of the leader, two of whose segments vanish") > 0.0);
        let leader = trial.cluster.leader();
        // What they say is in the stores, too.
        assert_eq!(heals(trial, leader, lose_the_index, "kill -9 of the leader, two of whose indexes vanish"), 0.0);
        let leader = trial.cluster.leader();
        let [one, _] = trial.cluster.others(leader);
        waits_to_heal(trial, one, "kill -9 of a follower, some of whose bytes flip, and that reaches nobody at first");
        let leader = trial.cluster.leader();
        let [one, _] = trial.cluster.others(leader);
        heals_the_end(trial, one, lose_the_store, "kill -9 of a follower, whose newest store vanishes");
        let leader = trial.cluster.leader();
        heals_the_end(trial, leader, lose_the_header, "kill -9 of the leader, whose newest store loses its header");
        let leader = trial.cluster.leader();
        let [one, other] = trial.cluster.others(leader);
        heals_in_use(trial, one, flip, "bytes of a follower flip while it runs");
        heals_in_use(trial, other, lose_the_segment, "two segments of a follower vanish while it runs");
        heals_in_use(trial, leader, shorten, "two stores of the leader are cut while it leads");
        let leader = trial.cluster.leader();
        let [one, _] = trial.cluster.others(leader);
        waits_to_heal_in_use(trial, one, "bytes of a follower flip while it reaches nobody");
    });
}
