//! A log in use is damaged under its reader and its writer: a scrub finds it, and the segment is made anew.

use crate::common::{append, crash_after, dir, position_of, reopen, stores, tiny, values};
use seedlog_log::{Entry, Examined, Keeper, OpenError, Opened, Scrub, Scrubbed, verify};
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VALUES: usize = 14;

struct InUse {
    disk: SimDisk,
    opened: Opened,
    keeper: Keeper,
}

fn in_use() -> InUse {
    let disk = SimDisk::new(1);
    let mut opened = reopen(&disk, &tiny()).unwrap();
    for n in 0..VALUES {
        append(&mut opened, &[&format!("value {n}")]);
        opened.writer.set_committed(n as u64);
    }
    opened.writer.seal().unwrap();
    let keeper = Keeper::new(Arc::new(disk.clone()), dir(), tiny(), opened.reader.clone());
    assert!(stores(&disk).len() > 2 && opened.reader.next_index() == VALUES as u64);
    InUse { disk, opened, keeper }
}

fn all_values() -> Vec<String> {
    (0..VALUES).map(|n| format!("value {n}")).collect()
}

fn peer() -> BTreeMap<u64, Entry> {
    let entries = in_use().opened.reader.entries(0, u64::MAX, usize::MAX).unwrap();
    entries.into_iter().map(|entry| (entry.id.index, entry)).collect()
}

impl InUse {
    /// An index in each segment that is not what it was.
    fn scrub(&self, bytes_max: usize) -> Vec<u64> {
        let mut scrub = Scrub::new(self.keeper.clone());
        let mut unsound = Vec::new();
        for _ in 0..10_000 {
            match scrub.step(bytes_max) {
                Scrubbed::Sound { .. } => {}
                Scrubbed::Unsound { index } => unsound.push(index),
                Scrubbed::End => return unsound,
            }
        }
        panic!("it comes to no end");
    }

    /// As a node does it. How many entries it needed.
    fn heal(&mut self, index: u64, peer: &BTreeMap<u64, Entry>) -> Result<usize, String> {
        for _ in 0..3 {
            match self.keeper.examine(index).map_err(|error| error.to_string())? {
                Examined::Gone => return Ok(0),
                Examined::Open => self.opened.writer.close(index).map_err(|error| error.to_string())?,
                Examined::Sound(same) => {
                    return self.opened.writer.adopt(&same).map(|_| 0).map_err(|error| error.to_string());
                }
                Examined::Ailing(ailing) => {
                    let missing = ailing.missing();
                    let copies: BTreeMap<u64, Entry> = missing
                        .iter()
                        .flat_map(|gap| peer.range(gap.from..gap.to))
                        .map(|(k, v)| (*k, v.clone()))
                        .collect();
                    let remade = ailing.remake(&copies).map_err(|error| error.to_string())?;
                    assert!(self.opened.writer.adopt(&remade).map_err(|error| error.to_string())?);
                    return Ok(copies.len());
                }
            }
        }
        panic!("it stays open");
    }

    /// It goes on as if nothing had been, and so does who opens it next.
    fn check_whole(mut self, what: &str) {
        assert_eq!(values(&self.opened), all_values(), "{what}");
        assert_eq!(self.scrub(4096), [], "{what}");
        append(&mut self.opened, &["one more"]);
        // Of a seal that was the end of the log until now only this shows that it is not what it was.
        for index in self.scrub(4096) {
            assert_eq!(self.heal(index, &BTreeMap::new()), Ok(0), "{what}");
        }
        self.opened.writer.seal().unwrap();
        drop(self.opened);
        self.disk.crash_process();
        let report = verify(&self.disk, &dir()).unwrap();
        assert!(report.is_sound() && report.torn.is_none(), "{what}: {report:?}");
        let wanted: Vec<String> = all_values().into_iter().chain(["one more".to_owned()]).collect();
        assert_eq!(values(&reopen(&self.disk, &tiny()).unwrap()), wanted, "{what}");
    }
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    stores(disk).iter().flat_map(|store| [store.clone(), store.with_extension("state")]).collect()
}

#[test]
fn a_log_that_is_as_it_was_is_read_to_its_end_and_nothing_is_found() {
    let log = in_use();
    for bytes_max in [1, 64, 100, 4096] {
        assert_eq!(log.scrub(bytes_max), []);
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_put_right_under_the_reader() {
    let peer = peer();
    let (mut found, mut needless) = (0, 0);
    for file in files(&in_use().disk) {
        let length = in_use().disk.cached_bytes(&file).unwrap().len() as u64;
        for position in (0..length).step_by(3) {
            let mut log = in_use();
            let what = format!("{} at {position}", file.display());
            log.disk.corrupt(&file, position, 0x10);
            let unsound = log.scrub(200);
            match *unsound {
                // Padding, a header's unused bytes, what was written ahead, or the seal behind a closed store's last entry.
                [] => needless += 1,
                [index] => {
                    found += 1;
                    log.heal(index, &peer).unwrap();
                }
                _ => panic!("{what}: {unsound:?}"),
            }
            log.check_whole(&what);
        }
    }
    assert!(found > 500 && needless < found / 3, "{found} found, {needless} not");
}

#[test]
fn a_store_that_is_gone_or_cut_short_is_put_back() {
    let peer = peer();
    for store in stores(&in_use().disk) {
        let mut log = in_use();
        log.disk.remove(&store).unwrap();
        let unsound = log.scrub(4096);
        assert_eq!(unsound.len(), 1, "without {}", store.display());
        assert!(log.heal(unsound[0], &peer).unwrap() > 0);
        log.check_whole(&format!("without {}", store.display()));

        let mut log = in_use();
        let file = log.disk.open(&store, OpenMode::ReadWrite).unwrap();
        file.set_len(200).unwrap();
        let unsound = log.scrub(4096);
        assert_eq!(unsound.len(), 1, "{} cut", store.display());
        log.heal(unsound[0], &peer).unwrap();
        log.check_whole(&format!("{} cut", store.display()));
    }
}

/// Its payload, not its header: that says what has to come back.
fn damaged(log: &InUse, value: &str) -> PathBuf {
    let holds = |store: &PathBuf| {
        let bytes = log.disk.cached_bytes(store).unwrap();
        bytes.windows(value.len()).any(|window| window == value.as_bytes())
    };
    let store = stores(&log.disk).into_iter().find(holds).unwrap();
    log.disk.corrupt(&store, position_of(&log.disk, &store, value), 1);
    store
}

fn ailing(log: &InUse, index: u64) -> Box<seedlog_log::Ailing> {
    match log.keeper.examine(index).unwrap() {
        Examined::Ailing(ailing) => ailing,
        _ => panic!("entry {index} is well"),
    }
}

#[test]
fn a_copy_that_is_not_what_was_there_is_refused_and_nothing_changed() {
    let log = in_use();
    damaged(&log, "value 1");
    let mut copies = peer();
    copies.insert(1, crate::common::records(1, 1, &["value X"]));
    let before = log.disk.cached_bytes(&stores(&log.disk)[0]);
    assert!(matches!(ailing(&log, 1).remake(&copies), Err(OpenError::BadCopy { .. })));
    assert!(matches!(ailing(&log, 1).remake(&BTreeMap::new()), Err(OpenError::BadCopy { .. })));
    assert_eq!(log.disk.cached_bytes(&stores(&log.disk)[0]), before);
}

#[test]
fn a_segment_that_was_cut_meanwhile_is_not_put_back() {
    let mut log = in_use();
    damaged(&log, "value 1");
    let remade = ailing(&log, 1).remake(&peer()).unwrap();
    log.opened.writer.truncate_from(1).unwrap();
    assert!(!log.opened.writer.adopt(&remade).unwrap());
    append(&mut log.opened, &["another"]);
    assert_eq!(values(&log.opened), ["value 0", "another"]);
}

#[test]
fn a_truncation_that_meets_damage_leaves_what_tells_where_the_log_ended() {
    let mut log = in_use();
    damaged(&log, "value 1");
    let before = stores(&log.disk);
    assert!(log.opened.writer.truncate_from(3).is_err());
    assert_eq!(stores(&log.disk), before);
}

#[test]
fn a_segment_that_was_purged_meanwhile_is_not_put_back() {
    let mut log = in_use();
    damaged(&log, "value 1");
    let remade = ailing(&log, 1).remake(&peer()).unwrap();
    log.opened.writer.purge(7).unwrap();
    assert!(!log.opened.writer.adopt(&remade).unwrap());
    assert!(matches!(log.keeper.examine(1).unwrap(), Examined::Gone));
}

#[test]
fn who_still_reads_the_old_files_is_not_disturbed() {
    let mut log = in_use();
    damaged(&log, "value 1");
    assert!(log.opened.reader.records(1, 2, 1, 100).is_err());
    let reader = log.opened.reader.clone();
    log.heal(1, &peer()).unwrap();
    assert_eq!(&reader.records(1, 2, 1, 100).unwrap()[0].bytes[..], b"value 1");
}

#[test]
fn the_power_may_go_at_any_step() {
    let peer = peer();
    let mut steps = 0;
    for value in ["value 1", "value 13"] {
        for operations in 0..200 {
            let mut log = in_use();
            let store = damaged(&log, value);
            let index = if value == "value 1" { 1 } else { 13 };
            crash_after(&log.disk, operations);
            let healed = log.heal(index, &peer);
            if !log.disk.is_down() {
                assert!(healed.is_ok(), "{healed:?}");
                break;
            }
            steps += 1;
            drop(log.opened);
            log.disk.power_loss(operations);
            heal_at_start(&log.disk, &peer, &store);
            assert_eq!(values(&reopen(&log.disk, &tiny()).unwrap()), all_values(), "{value}, {operations}");
        }
    }
    assert!(steps > 15, "{steps}");
}

fn heal_at_start(disk: &SimDisk, peer: &BTreeMap<u64, Entry>, damaged: &Path) {
    for _ in 0..3 {
        match reopen(disk, &tiny()) {
            Ok(_) => return disk.crash_process(),
            Err(error) => {
                assert!(error.to_string().contains("damaged"), "{}: {error}", damaged.display());
                let remedy = seedlog_log::Remedy { copies: peer.clone(), ..Default::default() };
                seedlog_log::mend(disk, &dir(), &tiny(), &remedy).unwrap();
            }
        }
    }
    panic!("it does not open");
}
