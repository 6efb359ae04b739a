//! What a start makes of what it finds, case by case.

use crate::common::{append, dir, position_of, records, reopen, stores, tiny, trim, values};
use seedlog_log::{
    Config, DataDir, EntryId, Identity, OpenError, Opened, ReadError, small_file, verify, verify_data_dir,
};
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::sync::Arc;

fn log_of(given: &[&str]) -> (SimDisk, Opened) {
    let disk = SimDisk::new(1);
    let mut opened = reopen(&disk, &tiny()).unwrap();
    append(&mut opened, given);
    (disk, opened)
}

fn write_unsynced(opened: &mut Opened, value: &str) {
    let index = opened.writer.last().map_or(0, |last| last.index + 1);
    opened.writer.write(&[records(1, index, &[value])]).unwrap();
}

#[test]
fn an_empty_directory_becomes_an_empty_log_and_stays_one() {
    let (disk, opened) = log_of(&[]);
    assert_eq!(opened.recovered.last, None);
    for _ in 0..2 {
        disk.power_loss(3);
        let again = reopen(&disk, &tiny()).unwrap();
        assert_eq!((again.recovered.last, values(&again)), (None, vec![]));
    }
}

#[test]
fn synced_records_survive_any_power_loss_across_many_segments() {
    let given: Vec<String> = (0..40).map(|n| format!("value {n}")).collect();
    let (disk, _) = log_of(&given.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(stores(&disk).len() > 5);
    for seed in 0..20 {
        disk.power_loss(seed);
        assert_eq!(values(&reopen(&disk, &tiny()).unwrap()), given);
    }
}

#[test]
fn torn_tail_is_dropped_but_the_synced_prefix_survives() {
    let mut torn = 0;
    for seed in 0..200 {
        let (disk, mut opened) = log_of(&["a", "b"]);
        write_unsynced(&mut opened, &"long".repeat(400));
        disk.power_loss(seed);
        let again = reopen(&disk, &tiny()).unwrap();
        let found = values(&again);
        assert_eq!(found[..2], ["a", "b"]);
        assert!(found.len() <= 3);
        torn += u32::from(again.recovered.torn.is_some());
    }
    assert!(torn > 20, "only {torn} of 200 power losses tore the batch");
}

#[test]
fn after_kill_9_what_was_written_is_there_and_survives_the_next_power_loss() {
    for seed in 0..50 {
        let (disk, mut opened) = log_of(&["a"]);
        write_unsynced(&mut opened, "unsynced");
        disk.crash_process();
        let reopened = reopen(&disk, &tiny()).unwrap();
        assert_eq!(reopened.recovered.last, Some(EntryId { term: 1, index: 1 }));
        disk.power_loss(seed);
        assert_eq!(values(&reopen(&disk, &tiny()).unwrap()), ["a", "unsynced"]);
    }
}

#[test]
fn a_flipped_byte_anywhere_before_the_last_batch_is_refused_and_named() {
    let (disk, _opened) = log_of(&["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]);
    for (offset, value) in ["first", "second", "third", "fourth", "fifth", "sixth"].iter().enumerate() {
        disk.crash_process();
        let store = stores(&disk)
            .into_iter()
            .find(|store| {
                let bytes = disk.cached_bytes(store).unwrap();
                bytes.windows(value.len()).any(|window| window == value.as_bytes())
            })
            .unwrap();
        let position = position_of(&disk, &store, value);
        disk.corrupt(&store, position, 0x20);
        let before = disk.cached_bytes(&store);
        let Err(OpenError::Damaged(damage)) = reopen(&disk, &tiny()) else { panic!("{value} flipped and not refused") };
        assert_eq!((damage.file.as_path(), damage.first_offset), (store.as_path(), offset as u64));
        assert!(damage.position <= position && position < damage.position + 100, "{damage}");
        assert_eq!(disk.cached_bytes(&store), before, "a refused start changed the file");
        assert!(!verify(&disk, &dir()).unwrap().is_sound());
        disk.corrupt(&store, position, 0x20);
        assert!(reopen(&disk, &tiny()).is_ok());
    }
}

#[test]
fn a_sealed_last_batch_is_protected_too() {
    let (disk, mut opened) = log_of(&["only"]);
    opened.writer.seal().unwrap();
    assert!(!opened.writer.unsealed());
    let store = stores(&disk).remove(0);
    let position = position_of(&disk, &store, "only");
    disk.crash_process();
    disk.corrupt(&store, position, 1);
    assert!(matches!(reopen(&disk, &tiny()), Err(OpenError::Damaged(_))));
}

#[test]
fn the_durable_committed_index_tells_damage_from_a_torn_tail() {
    let (disk, mut opened) = log_of(&["a", "b"]);
    opened.writer.set_committed(1);
    append(&mut opened, &["c"]);
    // "c"'s batch says that index 1 is committed. Lose everything from "b" on, as a torn write would.
    let store = stores(&disk).remove(0);
    let position = position_of(&disk, &store, "b");
    disk.crash_process();
    let file = disk.open(&store, OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"x", position).unwrap();
    file.sync_data().unwrap();
    assert!(matches!(reopen(&disk, &tiny()), Err(OpenError::Damaged(_))));
}

#[test]
fn the_index_is_rebuilt_from_the_store_alone() {
    let given = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for whole in [true, false] {
        let (disk, opened) = log_of(&given);
        drop(opened);
        disk.crash_process();
        for name in disk.list(&dir()).unwrap().iter().filter(|name| name.ends_with(".index")) {
            let path = dir().join(name);
            if whole {
                disk.remove(&path).unwrap();
            } else {
                let file = disk.open(&path, OpenMode::ReadWrite).unwrap();
                file.write_all_at(&[0xee; 40], 8).unwrap();
            }
        }
        assert_eq!(values(&reopen(&disk, &tiny()).unwrap()), given);
    }
}

#[test]
fn wrong_rows_of_a_segment_that_was_not_checked_at_start_are_put_right_by_the_first_read() {
    let given = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    let (disk, opened) = log_of(&given);
    drop(opened);
    disk.crash_process();
    for name in disk.list(&dir()).unwrap().iter().filter(|name| name.ends_with(".index")) {
        disk.open(&dir().join(name), OpenMode::ReadWrite).unwrap().write_all_at(&[0xee; 64], 0).unwrap();
    }
    let unchecked = Config { start_check_bytes_max: 0, ..tiny() };
    assert_eq!(values(&reopen(&disk, &unchecked).unwrap()), given);
}

#[test]
fn damage_in_a_segment_that_was_not_checked_at_start_is_never_served() {
    let given = ["first", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    let (disk, opened) = log_of(&given);
    drop(opened);
    disk.crash_process();
    let store = stores(&disk).remove(0);
    disk.corrupt(&store, position_of(&disk, &store, "first"), 1);
    let opened = reopen(&disk, &Config { start_check_bytes_max: 0, ..tiny() }).unwrap();
    let Err(ReadError::Damaged(damage)) = opened.reader.records(0, 1, 1, 100) else { panic!("served") };
    assert_eq!((damage.file, damage.first_offset), (store, 0));
    assert_eq!(opened.reader.records(8, 9, 1, 100).unwrap()[0].bytes, "i");
}

#[test]
fn a_damaged_last_committed_entry_is_refused_before_anything_is_changed_however_far_back_it_is() {
    // Found by fuzzing: its segment was not read, and only the mended log, read for the entry's id, was refused.
    let given = ["first", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    let (disk, mut opened) = log_of(&given[..1]);
    opened.writer.set_committed(0);
    append(&mut opened, &given[1..]);
    drop(opened);
    disk.crash_process();
    let store = stores(&disk).remove(0);
    let position = position_of(&disk, &store, "first");
    let unchecked = Config { start_check_bytes_max: 0, ..tiny() };
    disk.corrupt(&store, position, 1);
    let contents = || disk.paths().into_iter().map(|path| disk.cached_bytes(&path)).collect::<Vec<_>>();
    let before = contents();
    let Err(OpenError::Damaged(damage)) = reopen(&disk, &unchecked) else { panic!("flipped and not refused") };
    assert_eq!((damage.file, damage.first_index), (store.clone(), 0));
    assert!(contents() == before, "a refused start changed the disk");
    disk.corrupt(&store, position, 1);
    let again = reopen(&disk, &unchecked).unwrap();
    assert_eq!((values(&again).len(), again.recovered.committed), (18, Some(EntryId { term: 1, index: 0 })));
}

#[test]
fn a_lost_store_is_refused_not_taken_for_a_leftover() {
    let given = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let count = stores(&log_of(&given).0).len();
    assert!(count > 2);
    for lost in 0..count {
        let (disk, opened) = log_of(&given);
        drop(opened);
        disk.crash_process();
        disk.remove(&stores(&disk)[lost]).unwrap();
        let Err(OpenError::DamagedFile { path, .. }) = reopen(&disk, &tiny()) else { panic!("store {lost} lost") };
        assert!(path.extension().is_some_and(|extension| extension == "store"));
    }
}

#[test]
fn a_lost_state_is_computed_again() {
    let given = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let (disk, opened) = log_of(&given);
    drop(opened);
    disk.crash_process();
    for name in disk.list(&dir()).unwrap().iter().filter(|name| name.ends_with(".state")) {
        disk.remove(&dir().join(name)).unwrap();
    }
    assert_eq!(values(&reopen(&disk, &tiny()).unwrap()), given);
    assert_eq!(disk.list(&dir()).unwrap().iter().filter(|name| name.ends_with(".state")).count(), stores(&disk).len());
}

#[test]
fn a_lost_state_is_computed_again_also_where_nothing_else_is_checked_at_start() {
    // Found by fuzzing: the segment before it was not read, and the start was refused.
    let given: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let (disk, opened) = log_of(&given);
    drop(opened);
    disk.crash_process();
    let unchecked = Config { start_check_bytes_max: 0, ..tiny() };
    for store in &stores(&disk)[1..] {
        let state = store.with_extension("state");
        let bytes = disk.cached_bytes(&state);
        disk.remove(&state).unwrap();
        let opened = reopen(&disk, &unchecked).unwrap_or_else(|error| panic!("{}: {error}", state.display()));
        assert_eq!(values(&opened), given);
        assert_eq!(disk.cached_bytes(&state), bytes);
    }
}

#[test]
fn a_purged_log_starts_where_it_was_told_and_its_fold_goes_on() {
    let (disk, mut opened) = log_of(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    opened.writer.write(&[trim(1, 10, 7)]).unwrap();
    opened.writer.sync().unwrap();
    opened.writer.set_committed(10);
    append(&mut opened, &["k"]);
    let checkpoint = opened.reader.checkpoint_for_trim(7, 10).unwrap();
    let last = checkpoint.last.unwrap();
    opened.writer.purge(last.index).unwrap();
    let kept = values(&opened);
    assert_eq!(kept.last().unwrap(), "k");
    assert!(kept.len() < 11 && kept.contains(&"h".to_owned()));
    for seed in 0..10 {
        disk.power_loss(seed);
        let again = reopen(&disk, &tiny()).unwrap();
        assert_eq!((values(&again), again.recovered.last_purged), (kept.clone(), Some(last)));
        assert!(again.reader.entries(0, 1, 10).unwrap_err().to_string().contains("before the log's first"));
    }
}

#[test]
fn a_failed_sync_is_final() {
    let (disk, mut opened) = log_of(&["a"]);
    write_unsynced(&mut opened, "b");
    crate::common::fail_next_sync(&disk);
    let first = opened.writer.sync().unwrap_err().to_string();
    assert!(first.contains(".store"), "{first}");
    assert_eq!(opened.writer.sync().unwrap_err().to_string(), first);
    assert_eq!(opened.writer.seal().unwrap_err().to_string(), first);
}

#[test]
fn a_salted_store_is_not_fooled_by_records_that_look_like_batches() {
    // A record that holds a whole store of the same log, torn: without the salt and the position in the
    // checksums, the batches inside would prove that the torn one had been synced.
    let (disk, _) = log_of(&["a", "b", "c"]);
    let copy = disk.cached_bytes(&stores(&disk)[0]).unwrap();
    for seed in 0..100 {
        let (disk, mut opened) = log_of(&["a"]);
        let record = bytes::Bytes::from([vec![b'x'; 600], copy.clone()].concat());
        let batch = seedlog_log::RecordBatch::from(vec![record]).encode();
        opened.writer.write(&[crate::common::entry(1, 1, seedlog_log::Kind::Records, batch)]).unwrap();
        disk.power_loss(seed);
        reopen(&disk, &tiny()).unwrap();
    }
}

#[test]
fn an_installed_checkpoint_replaces_the_log_and_survives_a_crash_anywhere_in_it() {
    let checkpoint = seedlog_log::Checkpoint {
        last: Some(EntryId { term: 5, index: 90 }),
        state: seedlog_log::State { next_offset: 80, first_offset: 70, time_ms: 1, ..Default::default() },
        ..Default::default()
    };
    for ops in 0..60 {
        for power in [None, Some(ops)] {
            let (disk, mut opened) = log_of(&["a", "b", "c", "d", "e", "f", "g", "h"]);
            crate::common::crash_after(&disk, ops);
            let done = opened.writer.install(&checkpoint).is_ok();
            disk.clear_faults();
            power.map_or_else(|| disk.crash_process(), |seed| disk.power_loss(seed));
            let again = reopen(&disk, &tiny()).unwrap();
            let old = values(&again) == ["a", "b", "c", "d", "e", "f", "g", "h"];
            let new = again.recovered.last == checkpoint.last && again.recovered.checkpoint == checkpoint;
            assert!(if done { new } else { old || new }, "crash after {ops} operations");
        }
    }
}

#[test]
fn a_frame_that_lacks_only_its_padding_is_a_torn_tail() {
    // Found by the model: the file ended inside the padding, and the frame was taken for whole.
    let (disk, mut opened) = log_of(&["a"]);
    write_unsynced(&mut opened, "b");
    let store = stores(&disk).remove(0);
    disk.crash_process();
    let sound = position_of(&disk, &store, "b") + 1;
    disk.open(&store, OpenMode::ReadWrite).unwrap().set_len(sound).unwrap();
    let again = reopen(&disk, &tiny()).unwrap();
    assert!(again.recovered.torn.is_some());
    assert_eq!(values(&again), ["a"]);
}

#[test]
fn a_log_that_was_there_and_is_gone_is_lost_not_new() {
    let disk = SimDisk::new(1);
    let again = Config { create: false, ..tiny() };
    assert!(matches!(reopen(&disk, &again), Err(OpenError::Lost { .. })));
    drop(reopen(&disk, &tiny()).unwrap());
    assert!(reopen(&disk, &again).is_ok());
    disk.crash_process();
    for name in disk.list(&dir()).unwrap() {
        disk.remove(&dir().join(name)).unwrap();
    }
    assert!(matches!(reopen(&disk, &again), Err(OpenError::Lost { .. })));
    assert_eq!(disk.list(&dir()).unwrap(), Vec::<String>::new());
}

#[test]
fn verify_reads_the_small_files_too() {
    let (disk, opened) = log_of(&["a"]);
    drop(opened);
    let path = dir().join("vote");
    small_file::replace(&disk, &path, *b"SLVOTE01", b"a vote").unwrap();
    assert!(verify(&disk, &dir()).unwrap().is_sound());
    disk.corrupt(&path, 20, 1);
    assert_eq!(verify(&disk, &dir()).unwrap().damaged_files[0].0, path);
}

#[test]
fn the_index_of_a_full_disk_is_an_error_and_no_bus_error_later() {
    let (disk, opened) = log_of(&["a"]);
    drop(opened);
    disk.crash_process();
    disk.remove(&dir().join(format!("{:020}.index", 0))).unwrap();
    disk.sync_dir(&dir()).unwrap();
    disk.set_space_bytes(Some(disk.used_bytes()));
    let refused = reopen(&disk, &Config { index_rows_max: 1 << 12, ..tiny() });
    assert!(matches!(refused, Err(OpenError::Io { error, .. }) if error.kind() == std::io::ErrorKind::StorageFull));
    disk.set_space_bytes(None);
    assert_eq!(values(&reopen(&disk, &tiny()).unwrap()), ["a"]);
}

#[test]
fn a_data_directory_knows_that_it_had_a_log() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let root = std::path::Path::new("/data");
    let fresh = || Identity { cluster_id: 7, node_id: 9 };
    let mut data_dir = DataDir::open(&disk, root, fresh).unwrap();
    assert!(!data_dir.has_log());
    data_dir.note_log().unwrap();
    drop(data_dir);
    let again = DataDir::open(&disk, root, || unreachable!("it has an identity")).unwrap();
    assert!(again.has_log());
    assert_eq!(again.identity(), fresh());
    assert!(!verify_data_dir(&*disk, root).unwrap().is_sound());
}
