//! A damaged log is made whole from another's entries: whatever was damaged, and a crash at any step of it.

use crate::common::{append, crash_after, dir, entry, records, reopen, stores, tiny, trim, values};
use seedlog_log::{
    Checkpoint, Config, Entry, EntryId, Kind, Lacking, Lender, Missing, OpenError, Remedy, compare, diagnose, mend,
    verify,
};
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VALUES: usize = 40;

/// Forty records and some entries without, in a dozen segments; sealed, and the process gone.
fn log() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut opened = reopen(&disk, &tiny()).unwrap();
    for n in 0..VALUES {
        append(&mut opened, &[&format!("value {n}")]);
        if n % 7 == 3 {
            let index = opened.writer.last().unwrap().index + 1;
            let membership = entry(1, index, Kind::Membership, format!("members at {index}").into_bytes().into());
            opened.writer.write(&[membership, trim(1, index + 1, 0)]).unwrap();
            opened.writer.sync().unwrap();
        }
        opened.writer.set_committed(opened.writer.last().unwrap().index.saturating_sub(3));
    }
    opened.writer.seal().unwrap();
    assert!(stores(&disk).len() > 8);
    disk.crash_process();
    disk
}

fn all_values() -> Vec<String> {
    (0..VALUES).map(|n| format!("value {n}")).collect()
}

/// What a peer has: the same log.
fn peer() -> BTreeMap<u64, Entry> {
    let opened = reopen(&log(), &tiny()).unwrap();
    let entries = opened.reader.entries(0, u64::MAX, usize::MAX).unwrap();
    entries.into_iter().map(|entry| (entry.id.index, entry)).collect()
}

fn with(copies: BTreeMap<u64, Entry>) -> Remedy {
    Remedy { copies, ..Remedy::default() }
}

fn lacking(disk: &SimDisk) -> Lacking {
    diagnose(disk, &dir(), &tiny()).unwrap()
}

/// As a node does it: asks for what is missing, a few entries at a time, until the log opens.
fn heal(disk: &SimDisk, peer: &BTreeMap<u64, Entry>) -> Result<Vec<String>, String> {
    for _ in 0..200 {
        match reopen(disk, &tiny()) {
            Ok(opened) => {
                let found = values(&opened);
                drop(opened);
                disk.crash_process();
                let report = verify(disk, &dir()).unwrap();
                assert!(report.is_sound(), "{report:?}");
                return Ok(found);
            }
            Err(error) => {
                let lacking = lacking(disk);
                if lacking.end_unknown {
                    return Err(error.to_string());
                }
                assert!(lacking.ailing, "nothing to mend, and yet: {error}");
                let mut copies = BTreeMap::new();
                for Missing { from, to, then, .. } in &lacking.missing {
                    assert!(then.is_none_or(|then| peer[&then.index].id == then), "{then:?}");
                    // Of the last entry nothing is left but that the batch behind it says that it was synced.
                    let last = *to == peer.len() as u64;
                    assert!(
                        last || then.is_some() || Some(*to - 1) <= lacking.committed,
                        "{from}..{to} proven by nothing"
                    );
                    copies.extend(peer.range(*from..*to).take(4).map(|(index, entry)| (*index, entry.clone())));
                }
                mend(disk, &dir(), &tiny(), &with(copies)).unwrap();
            }
        }
    }
    panic!("it does not get whole: {:?}", lacking(disk));
}

fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut names = disk.list(&dir()).unwrap();
    names.retain(|name| ["store", "state", "index"].iter().any(|extension| name.ends_with(extension)));
    names.iter().map(|name| dir().join(name)).collect()
}

fn cut(disk: &SimDisk, path: &Path, length: u64) {
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    file.set_len(length).unwrap();
    file.sync_data().unwrap();
}

fn remove(disk: &SimDisk, path: &Path) {
    disk.remove(path).unwrap();
    disk.sync_dir(&dir()).unwrap();
}

#[test]
fn a_flipped_bit_anywhere_is_healed() {
    let (mut healed, mut unknown) = (0, 0);
    let peer = peer();
    for file in segment_files(&log()) {
        let length = log().cached_bytes(&file).unwrap().len() as u64;
        for position in (0..length).step_by(5) {
            let disk = log();
            disk.corrupt(&file, position, 0x10);
            match heal(&disk, &peer) {
                Ok(found) => assert_eq!(found, all_values(), "{} at {position}", file.display()),
                Err(_) => {
                    assert!(file == *stores(&disk).last().unwrap() && position < 64, "{}", file.display());
                    unknown += 1;
                    continue;
                }
            }
            healed += 1;
        }
    }
    assert!(healed > 500 && unknown > 0, "{healed} healed");
}

#[test]
fn a_closed_store_cut_anywhere_is_healed() {
    let peer = peer();
    let closed = stores(&log());
    for store in &closed[..closed.len() - 1] {
        let length = log().cached_bytes(store).unwrap().len() as u64;
        for at in (0..length).step_by(11) {
            let disk = log();
            cut(&disk, store, at);
            assert_eq!(heal(&disk, &peer).unwrap(), all_values(), "{} cut at {at}", store.display());
        }
    }
}

#[test]
fn any_file_that_is_gone_comes_back_and_so_do_whole_segments() {
    let peer = peer();
    let stores = stores(&log());
    let (newest, closed) = stores.split_last().unwrap();
    for file in segment_files(&log()) {
        let disk = log();
        remove(&disk, &file);
        match heal(&disk, &peer) {
            Ok(found) => assert_eq!(found, all_values(), "without {}", file.display()),
            Err(_) => assert_eq!(file, *newest),
        }
    }
    for at in 0..closed.len() {
        for count in 1..=closed.len() - at {
            let disk = log();
            for store in &closed[at..at + count] {
                for extension in ["state", "index", "store"] {
                    remove(&disk, &store.with_extension(extension));
                }
            }
            assert_eq!(heal(&disk, &peer).unwrap(), all_values(), "without {count} from {at} on");
        }
    }
}

#[test]
fn an_unreadable_sector_is_healed() {
    // Large enough for more than one sector.
    let config = Config { segment_bytes_max: 40 << 10, index_rows_max: 60, ..tiny() };
    let disk_of = || {
        let disk = SimDisk::new(1);
        let mut opened = reopen(&disk, &config).unwrap();
        for n in 0..40 {
            append(&mut opened, &[&format!("{n} {}", "x".repeat(2000))]);
        }
        opened.writer.set_committed(39);
        opened.writer.seal().unwrap();
        disk.crash_process();
        disk
    };
    let peer = reopen(&disk_of(), &config).unwrap().reader.entries(0, u64::MAX, usize::MAX).unwrap();
    let peer: BTreeMap<u64, Entry> = peer.into_iter().map(|entry| (entry.id.index, entry)).collect();
    let first = stores(&disk_of()).remove(0);
    let length = disk_of().cached_bytes(&first).unwrap().len() as u64;
    for position in (0..length).step_by(4096) {
        let disk = disk_of();
        assert!(disk.break_sector(&first, position));
        assert!(matches!(reopen(&disk, &config), Err(OpenError::Io { .. })), "sector at {position}");
        let lacking = diagnose(&disk, &dir(), &config).unwrap();
        assert!(lacking.ailing && !lacking.end_unknown);
        mend(&disk, &dir(), &config, &with(peer.clone())).unwrap();
        assert_eq!(values(&reopen(&disk, &config).unwrap()).len(), 40);
    }
}

/// Seed 795919747 with a mirror: it could be read when it was looked for what is missing, and not when that was mended.
#[test]
fn a_log_whose_end_cannot_be_read_is_not_mended_and_loses_nothing() {
    let config = Config { segment_bytes_max: 40 << 10, index_rows_max: 60, ..tiny() };
    let disk_of = || {
        let disk = SimDisk::new(1);
        let mut opened = reopen(&disk, &config).unwrap();
        for n in 0..30 {
            append(&mut opened, &[&format!("{n} {}", "x".repeat(2000))]);
        }
        opened.writer.seal().unwrap();
        disk.crash_process();
        disk
    };
    let peer = reopen(&disk_of(), &config).unwrap().reader.entries(0, u64::MAX, usize::MAX).unwrap();
    let peer: BTreeMap<u64, Entry> = peer.into_iter().map(|entry| (entry.id.index, entry)).collect();
    let stores = stores(&disk_of());
    let [first, newest] = &stores[..] else { panic!("{stores:?}") };
    let written = disk_of().cached_bytes(newest).unwrap();
    let used = written.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for position in (0..used).step_by(4096) {
        let disk = disk_of();
        cut(&disk, first, 150);
        assert!(!diagnose(&disk, &dir(), &config).unwrap().end_unknown);
        assert!(disk.break_sector(newest, position));
        assert!(diagnose(&disk, &dir(), &config).unwrap().end_unknown, "sector at {position}");
        for start in [None, Some(fold(&peer, 25))] {
            let refused = mend(&disk, &dir(), &config, &Remedy { copies: peer.clone(), start, ..Remedy::default() });
            assert!(matches!(refused, Err(OpenError::Io { what: "read", .. })), "{refused:?}");
        }
        assert_eq!(disk.cached_bytes(newest).unwrap(), written, "sector at {position}");
    }
}

/// What is left of a log is all that it has; and a crash on the way leaves one that can be brought there.
#[test]
fn a_log_whose_newest_store_is_lost_ends_where_it_is_told_to_and_not_before_it_is_told() {
    let newest = stores(&log()).pop().unwrap();
    let loses: [fn(&SimDisk, &Path); 2] = [remove, |disk, store| assert!(disk.corrupt(store, 20, 0xff))];
    for (lose, operations) in loses.into_iter().flat_map(|lose| (0..1000).map(move |operations| (lose, operations))) {
        let disk = log();
        let left = |disk: &SimDisk| values(&reopen(disk, &tiny()).unwrap());
        lose(&disk, &newest);
        let lacking = lacking(&disk);
        assert!(lacking.ailing && lacking.end_unknown && lacking.end_lost, "{lacking:?}");
        let remedy = |end_lost| Remedy { end: Some(lacking.end), end_lost, ..Remedy::default() };
        assert!(matches!(mend(&disk, &dir(), &tiny(), &remedy(false)), Err(OpenError::Io { .. })));
        crash_after(&disk, operations);
        let done = mend(&disk, &dir(), &tiny(), &remedy(true)).is_ok();
        disk.disarm_crash();
        disk.power_loss(operations);
        if !done && reopen(&disk, &tiny()).is_err() {
            // It may be known by now, and lack nothing but to be written anew.
            let now = diagnose(&disk, &dir(), &tiny()).unwrap();
            assert!(now.end == lacking.end && (now.end_lost || !now.end_unknown), "{now:?}");
            mend(&disk, &dir(), &tiny(), &Remedy { end: Some(now.end), end_lost: now.end_lost, ..Remedy::default() })
                .unwrap();
        }
        let left = left(&disk);
        assert!(left.len() > 30 && left.len() < VALUES && all_values().starts_with(&left), "{left:?}");
        disk.crash_process();
        assert!(verify(&disk, &dir()).unwrap().is_sound());
        if done {
            break;
        }
    }
}

#[test]
fn a_crash_at_any_step_of_a_repair_leaves_a_log_that_can_be_repaired() {
    let peer = peer();
    let damage = |disk: &SimDisk| {
        let stores = stores(disk);
        cut(disk, &stores[1], 150);
        for extension in ["state", "index", "store"] {
            remove(disk, &stores[3].with_extension(extension));
        }
        disk.corrupt(&stores[6], 200, 0xff);
        disk.corrupt(&stores[8].with_extension("state"), 30, 0xff);
    };
    for operations in 0..1000 {
        let disk = log();
        damage(&disk);
        crash_after(&disk, operations);
        let mended = mend(&disk, &dir(), &tiny(), &with(peer.clone()));
        if mended.is_ok() {
            assert!(operations > 30, "only {operations} operations");
            return;
        }
        disk.disarm_crash();
        disk.power_loss(operations);
        assert_eq!(heal(&disk, &peer).unwrap(), all_values(), "crashed at operation {operations}");
    }
    panic!("it never came to an end");
}

#[test]
fn a_copy_of_something_else_is_refused_and_nothing_is_changed() {
    let stores = stores(&log());
    for change in [
        |entry: &mut Entry| entry.id.term = 0,
        |entry: &mut Entry| entry.payload = records(1, 0, &["something else"]).payload,
        |entry: &mut Entry| entry.time_ms += 5,
        |entry: &mut Entry| entry.kind = Kind::Blank,
    ] {
        let disk = log();
        // The payload of the second entry; its header is left.
        let store = disk.cached_bytes(&stores[0]).unwrap();
        let at = store.windows(7).position(|window| window == b"value 1").unwrap() as u64;
        disk.corrupt(&stores[0], at, 1);
        let before = disk.cached_bytes(&stores[0]);
        let mut copies = peer();
        change(copies.get_mut(&1).unwrap());
        let refused = mend(&disk, &dir(), &tiny(), &with(copies));
        assert!(matches!(refused, Err(OpenError::BadCopy { .. })), "{refused:?}");
        assert_eq!(disk.cached_bytes(&stores[0]), before);
    }
}

#[test]
fn a_whole_segment_of_something_else_is_held_against_the_state_behind_it() {
    let disk = log();
    let store = stores(&disk).remove(2);
    remove(&disk, &store);
    let first_index = store.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let mut copies = peer();
    copies.insert(first_index, records(1, first_index, &["two", "records"]));
    let refused = mend(&disk, &dir(), &tiny(), &with(copies));
    assert!(matches!(refused, Err(OpenError::BadCopy { .. })), "{refused:?}");
    assert!(!disk.exists(&store).unwrap());
}

#[test]
fn what_was_synced_and_is_in_no_other_log_can_be_given_up() {
    for gone in [EntryId { term: 1, index: 30 }, EntryId { term: 1, index: 41 }] {
        let disk = log();
        let peer = peer();
        mend(&disk, &dir(), &tiny(), &Remedy { end: Some(gone.index), ..Remedy::default() }).unwrap();
        let opened = reopen(&disk, &tiny()).unwrap();
        assert_eq!(opened.recovered.last, Some(peer[&(gone.index - 1)].id));
        let entries = opened.reader.entries(0, u64::MAX, usize::MAX).unwrap();
        assert!(entries.iter().all(|entry| peer[&entry.id.index] == *entry));
        drop(opened);
        assert!(verify(&disk, &dir()).unwrap().is_sound());
    }
}

#[test]
fn a_damaged_log_lends_what_is_sound_in_it() {
    let disk = log();
    let peer = peer();
    let store = stores(&disk).remove(1);
    cut(&disk, &store, 150);
    let gap = lacking(&disk).missing.remove(0);
    assert_eq!(gap.before, Some(peer[&(gap.from - 1)].id));
    let lender = Lender::new(Arc::new(disk), &dir(), &tiny()).unwrap();
    let (mut lent, mut next) = (Vec::new(), 0);
    loop {
        let entries = lender.entries(next, gap.from + 3, 20).unwrap();
        let Some(last) = entries.last() else { break };
        next = last.id.index + 1;
        lent.extend(entries);
    }
    assert_eq!(next, gap.from);
    assert!(lent.iter().all(|entry| peer[&entry.id.index] == *entry));
    assert!(lender.entries(gap.from, gap.to, 100).unwrap().is_empty());
    assert!(!lender.entries(gap.to, gap.to + 2, 100).unwrap().is_empty());
    assert!(lender.entries(1 << 40, 1 << 41, 100).unwrap().is_empty());
}

/// What the peer's log gives before entry `index`.
fn fold(peer: &BTreeMap<u64, Entry>, index: u64) -> Checkpoint {
    let mut fold = Checkpoint::default();
    for entry in peer.range(..index).map(|(_, entry)| entry) {
        fold.apply(entry).unwrap();
    }
    fold
}

#[test]
fn what_all_others_have_trimmed_is_not_needed_any_more() {
    let peer = peer();
    let length = peer.len() as u64;
    for damaged in 0..3 {
        let hurt = || {
            let disk = log();
            let store = stores(&disk).remove(damaged);
            cut(&disk, &store, 150);
            disk
        };
        let gap = lacking(&hurt()).missing.remove(0);
        assert_eq!(lacking(&hurt()).end, length);
        for starts_at in gap.from + 1..length + 3 {
            let disk = hurt();
            // What is lost behind the point is needed all the same.
            let start = fold(&peer, starts_at.min(length));
            let start = Checkpoint { last: Some(EntryId { term: 1, index: starts_at - 1 }), ..start };
            let remedy = Remedy { start: Some(start.clone()), ..Remedy::default() };
            mend(&disk, &dir(), &tiny(), &remedy).unwrap();
            if starts_at < gap.to {
                assert!(reopen(&disk, &tiny()).is_err(), "from {starts_at} on");
                let copies = peer.range(starts_at..gap.to).map(|(index, entry)| (*index, entry.clone())).collect();
                mend(&disk, &dir(), &tiny(), &Remedy { copies, ..remedy }).unwrap();
            }
            let opened = reopen(&disk, &tiny()).unwrap();
            assert_eq!(opened.reader.first_checkpoint(), start);
            assert_eq!(opened.recovered.last.map_or(0, |last| last.index + 1), starts_at.max(length));
            let entries = opened.reader.entries(starts_at, u64::MAX, usize::MAX).unwrap();
            assert!(entries.iter().all(|entry| peer[&entry.id.index] == *entry));
            assert_eq!(entries.len() as u64, length.saturating_sub(starts_at));
            drop(opened);
            assert!(verify(&disk, &dir()).unwrap().is_sound());
        }
    }
}

/// Seed 795922356: the first segment of a trimmed log was lost, and nothing else told what had come before it.
#[test]
fn where_a_trimmed_log_starts_is_known_though_its_first_segment_is_lost() {
    let trimmed = || {
        let disk = log();
        let mut opened = reopen(&disk, &tiny()).unwrap();
        let entries = opened.reader.entries(0, u64::MAX, usize::MAX).unwrap();
        opened.writer.purge(entries[entries.len() / 2].id.index).unwrap();
        let start = opened.reader.first_checkpoint();
        drop(opened);
        disk.crash_process();
        (disk, start)
    };
    let (disk, start) = trimmed();
    assert!(start.next_index() > 0);
    let found = heal(&disk, &peer()).unwrap();
    assert!(found.len() < VALUES && all_values().ends_with(&found), "{found:?}");
    let first = stores(&disk).remove(0);
    let files = ["store", "state", "index"].map(|extension| first.with_extension(extension));
    for lost in 1..1 << files.len() {
        let (disk, start) = trimmed();
        for (_, file) in files.iter().enumerate().filter(|(bit, _)| lost & 1 << bit != 0) {
            remove(&disk, file);
        }
        assert_eq!(heal(&disk, &peer()).unwrap(), found, "{lost:b}");
        assert_eq!(reopen(&disk, &tiny()).unwrap().reader.first_checkpoint(), start);
    }
    for position in 0..disk.cached_bytes(&files[1]).unwrap().len() as u64 {
        let (disk, _) = trimmed();
        disk.corrupt(&files[1], position, 0x10);
        assert_eq!(heal(&disk, &peer()).unwrap(), found, "the state at {position}");
    }
}

#[test]
fn two_logs_are_the_same_or_differ_at_the_first_entry_that_one_of_them_lacks_or_has_otherwise() {
    let compared = |change: &dyn Fn(&SimDisk)| {
        let disk = log();
        // The same log again, beside it.
        let other = dir().with_file_name("other");
        disk.create_dir_all(&other).unwrap();
        for path in segment_files(&disk) {
            let copy = disk.open(&other.join(path.file_name().unwrap()), OpenMode::CreateNew).unwrap();
            copy.write_all_at(&disk.cached_bytes(&path).unwrap(), 0).unwrap();
        }
        change(&disk);
        compare(&(Arc::new(disk) as Arc<dyn Disk>), &dir(), &other).unwrap()
    };
    let same = compared(&|_| {});
    assert!(same.is_same() && same.differs.is_none());
    assert_eq!(same.compared, 0..peer().len() as u64);

    let lost = compared(&|disk| cut(disk, &stores(disk)[1], 150));
    let difference = lost.differs.unwrap();
    assert!(!lost.is_same() && difference.one.is_none() && difference.other.is_some(), "{lost:?}");

    let end = peer().len() as u64;
    let uncommitted = compared(&|disk| {
        let remedy = Remedy { end: Some(end - 2), ..Remedy::default() };
        mend(disk, &dir(), &tiny(), &remedy).unwrap();
        let mut opened = reopen(disk, &tiny()).unwrap();
        opened.writer.write(&[entry(2, end - 2, Kind::Blank, Default::default())]).unwrap();
        opened.writer.sync().unwrap();
    });
    assert_eq!(uncommitted.differs.map(|difference| difference.index), Some(end - 2));
    assert!(uncommitted.is_same() && uncommitted.committed < Some(end - 2), "{uncommitted:?}");
}
