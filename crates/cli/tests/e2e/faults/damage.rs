//! A disk that loses what it was given.

use super::cluster::eventually;
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

/// The node goes, its disk loses something, and it comes back: whole, with nobody's help but the others'.
fn heals(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) {
    let dir = trial.cluster.group_dir(number);
    eventually("some segments are closed", || closed(&dir));
    trial.cluster.kill(number);
    let killed = Instant::now();
    let stores = closed(&dir).unwrap();
    stores.iter().for_each(|store| damage(store));
    trial.cluster.start(number);
    trial.resumes(killed, what);
    trial.cluster.votes(number);
    assert!(stores.iter().all(|store| store.exists()), "{what}: {stores:?}");
    trial.some_more();
}

fn lose_the_store(store: &Path) {
    fs::remove_file(store).unwrap();
}

fn lose_the_header(store: &Path) {
    let file = fs::File::options().write(true).open(store).unwrap();
    file.write_all_at(&[0x55; 64], 0).unwrap();
}

/// As above, and nobody can say where the log ended: it votes when it has all that it may have acknowledged.
fn heals_the_end(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) {
    let dir = trial.cluster.group_dir(number);
    eventually("some segments are closed", || closed(&dir));
    trial.cluster.kill(number);
    let killed = Instant::now();
    damage(&stores(&dir).pop().unwrap());
    trial.cluster.start(number);
    trial.resumes(killed, what);
    trial.cluster.votes(number);
    eventually("nothing is owed any more", || (!dir.join("mark").exists()).then_some(()));
    trial.some_more();
}

/// The node goes on while its disk loses something: a scrub finds it, and what is lost comes back.
fn heals_in_use(trial: &mut Trial, number: usize, damage: fn(&Path), what: &str) {
    let dir = trial.cluster.group_dir(number);
    let stores = eventually("some segments are closed", || closed(&dir));
    stores.iter().for_each(|store| damage(store));
    let scrub = || {
        let scrubbed = must(&["scrub", "--output", "json", "--addr", &trial.cluster.address(number)], b"");
        serde_json::from_slice::<Value>(&scrubbed).unwrap()
    };
    let found = scrub();
    assert_eq!([&found["damaged_segments"], &found["healed_segments"]], [2, 2], "{what}: {found}");
    assert_eq!(scrub()["damaged_segments"], 0, "{what}");
    trial.some_more();
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn what_one_node_of_three_has_lost_is_healed_under_load_and_all_logs_are_the_same() {
    trial_of(&SMALL_SEGMENTS, |trial| {
        let leader = trial.cluster.leader();
        let [one, other] = trial.cluster.others(leader);
        heals(trial, one, flip, "kill -9 of a follower, some of whose bytes flip");
        heals(trial, other, shorten, "kill -9 of a follower, two of whose stores are cut");
        let leader = trial.cluster.leader();
        heals(trial, leader, lose_the_segment, "kill -9 of the leader, two of whose segments vanish");
        let leader = trial.cluster.leader();
        heals(trial, leader, lose_the_index, "kill -9 of the leader, two of whose indexes vanish");
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
    });
}
