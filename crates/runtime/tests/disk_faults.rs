//! What the simulated disk does that a real one does only on a bad day.

use seedlog_runtime::disk::sim::{CrashAt, DiskEvent, Fault, FaultKind, PAGE_BYTES, Place, SECTOR_BYTES, is_crash};
use seedlog_runtime::disk::{Disk, File, OpenMode, RealDisk, SimDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SEEDS: std::ops::Range<u64> = 0..400;

fn at(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new(7);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk
}

fn create(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    disk.open(&at(name), OpenMode::CreateNew).unwrap()
}

/// A file whose name and bytes are durable.
fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(disk, name);
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    file
}

fn inject(disk: &SimDisk, kind: FaultKind) {
    disk.inject(Fault { kind, path_suffix: None, skip: 0, times: 1 });
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.cached_bytes(&at(name))
}

fn fired(disk: &SimDisk, name: &str) -> u64 {
    disk.fired().get(name).copied().unwrap_or(0)
}

/// What `after` finds after a power loss, over many seeds.
fn outcomes<R: Ord>(prepare: impl Fn(&SimDisk), after: impl Fn(&SimDisk) -> R) -> BTreeSet<R> {
    let outcome = |seed| {
        let disk = new_disk();
        prepare(&disk);
        disk.power_loss(seed);
        after(&disk)
    };
    SEEDS.map(outcome).collect()
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_its_handles_are_dead() {
    let disk = new_disk();
    let file = create(&disk, "a");
    file.write_all_at(b"written", 0).unwrap();
    let map = disk.map(&at("a"), 7).unwrap();
    let lock = disk.lock(&at("lock")).unwrap();
    map.write(0, b"W");
    disk.crash_process();

    assert_eq!(content(&disk, "a").unwrap(), b"Written");
    map.write(0, b"X");
    assert_eq!(content(&disk, "a").unwrap(), b"Written", "a store of a dead process arrived");
    let errors = [
        file.write_at(b"x", 0).unwrap_err(),
        file.read_at(&mut [0], 0).unwrap_err(),
        file.sync_data().unwrap_err(),
        file.set_len(0).unwrap_err(),
        file.allocate(99).unwrap_err(),
        file.len().unwrap_err(),
        map.flush().unwrap_err(),
    ];
    assert!(errors.iter().all(is_crash));

    let successor = disk.lock(&at("lock")).expect("the lock died with its holder");
    drop(lock);
    let taken = disk.lock(&at("lock")).err().expect("the dead guard opened the lock of the living");
    assert_eq!(taken.kind(), io::ErrorKind::WouldBlock);
    drop(successor);
}

#[test]
fn an_unsynced_write_survives_vanishes_or_tears_at_sectors() {
    let (old, new) = (vec![b'o'; 2000], vec![b'n'; 1500]);
    let seen = outcomes(
        |disk| {
            let file = synced(disk, "a", &old);
            file.write_all_at(&new, 300).unwrap();
        },
        |disk| content(disk, "a").unwrap(),
    );
    for bytes in &seen {
        assert_eq!(bytes.len(), 2000);
        assert!(bytes[..300].iter().chain(&bytes[1800..]).all(|byte| *byte == b'o'), "damage outside of the write");
        for sector in bytes[300..1800]
            .iter()
            .enumerate()
            .collect::<Vec<_>>()
            .chunk_by(|(a, _), (b, _)| (300 + *a as u64) / SECTOR_BYTES == (300 + *b as u64) / SECTOR_BYTES)
        {
            assert!(sector.iter().all(|(_, byte)| *byte == sector[0].1), "a sector is neither old nor new");
        }
    }
    assert_eq!(seen.len(), 16, "some of the combinations of four sectors never happened");
}

#[test]
fn writes_survive_independently_of_each_other() {
    let seen = outcomes(
        |disk| {
            let file = synced(disk, "a", b"..");
            file.write_all_at(b"1", 0).unwrap();
            file.write_all_at(b"2", 1).unwrap();
        },
        |disk| String::from_utf8(content(disk, "a").unwrap()).unwrap(),
    );
    assert_eq!(Vec::from_iter(seen), ["..", ".2", "1.", "12"]);
}

#[test]
fn a_length_is_as_volatile_as_bytes() {
    let lengths = |change: fn(&dyn File)| {
        outcomes(|disk| change(&*synced(disk, "a", &[1; 10])), |disk| content(disk, "a").unwrap().len())
    };
    assert_eq!(Vec::from_iter(lengths(|file| file.set_len(4).unwrap())), [4, 10]);
    assert_eq!(Vec::from_iter(lengths(|file| file.set_len(99).unwrap())), [10, 99]);
    let allocated = lengths(|file| file.allocate(2 * SECTOR_BYTES).unwrap());
    assert_eq!(Vec::from_iter(allocated), [10, 512, 1024]);
}

#[test]
fn mapped_pages_survive_independently_and_as_they_were_at_some_moment() {
    let page = PAGE_BYTES as usize;
    let seen = outcomes(
        |disk| {
            synced(disk, "a", &vec![b'.'; 2 * page]);
            let map = disk.map(&at("a"), 2 * page).unwrap();
            for (position, byte) in [(0, b'1'), (page, b'x'), (1, b'2'), (2, b'3')] {
                map.write(position, &[byte]);
            }
        },
        |disk| {
            let bytes = content(disk, "a").unwrap();
            String::from_utf8([&bytes[..3], &bytes[page..page + 1]].concat()).unwrap()
        },
    );
    assert_eq!(Vec::from_iter(seen), ["....", "...x", "1...", "1..x", "12..", "12.x", "123.", "123x"]);
}

#[test]
fn a_mapped_page_past_the_durable_end_of_the_file_is_lost() {
    let seen = outcomes(
        |disk| {
            let file = synced(disk, "a", b"");
            file.set_len(10).unwrap();
            disk.map(&at("a"), 10).unwrap().write(0, b"x");
        },
        |disk| content(disk, "a").unwrap().len(),
    );
    assert_eq!(Vec::from_iter(seen), [0, 10]);
}

#[test]
fn flushing_a_map_makes_it_durable() {
    let seen = outcomes(
        |disk| {
            synced(disk, "a", b"....");
            let map = disk.map(&at("a"), 4).unwrap();
            map.write(1, b"x");
            map.flush().unwrap();
        },
        |disk| content(disk, "a").unwrap(),
    );
    assert_eq!(Vec::from_iter(seen), [b".x.."]);
}

#[test]
fn a_prefix_of_a_directorys_changes_survives_and_mostly_none() {
    let names = |disk: &SimDisk| disk.list(Path::new("/data")).unwrap().join(" ");
    let prepare = |disk: &SimDisk| {
        synced(disk, "old", b"old");
        for name in ["a", "b"] {
            create(disk, name).sync_data().unwrap();
        }
        disk.rename(&at("b"), &at("c")).unwrap();
        disk.remove(&at("old")).unwrap();
    };
    assert_eq!(Vec::from_iter(outcomes(prepare, names)), ["a b old", "a c", "a c old", "a old", "old"]);
    let lost = SEEDS.filter(|seed| {
        let disk = new_disk();
        prepare(&disk);
        disk.power_loss(*seed);
        names(&disk) == "old"
    });
    assert!(lost.count() as u64 > SEEDS.end / 2);

    let synced_too = outcomes(
        |disk| {
            prepare(disk);
            disk.sync_dir(Path::new("/data")).unwrap();
        },
        names,
    );
    assert_eq!(Vec::from_iter(synced_too), ["a c"]);
}

#[test]
fn a_rename_shows_the_old_file_or_the_new_one() {
    let replace = |sync_bytes: bool| {
        move |disk: &SimDisk| {
            synced(disk, "vote", b"old");
            let file = create(disk, "vote.tmp");
            file.write_all_at(b"new", 0).unwrap();
            if sync_bytes {
                file.sync_data().unwrap();
            }
            disk.rename(&at("vote.tmp"), &at("vote")).unwrap();
        }
    };
    let vote = |disk: &SimDisk| String::from_utf8(content(disk, "vote").unwrap()).unwrap();
    assert_eq!(Vec::from_iter(outcomes(replace(true), vote)), ["new", "old"]);
    // The classic: the name is durable, the bytes are not.
    assert_eq!(Vec::from_iter(outcomes(replace(false), vote)), ["", "new", "old"]);
}

#[test]
fn a_directory_is_durable_once_created_even_if_the_first_try_was_killed_anywhere() {
    let deep = Path::new("/data/groups/0");
    for at in [CrashAt::Before, CrashAt::Inside, CrashAt::After] {
        let mut steps = 0;
        loop {
            let disk = SimDisk::new(steps);
            disk.arm_crash(steps, at);
            let killed = disk.create_dir_all(deep).is_err();
            disk.clear_faults();
            disk.crash_process();
            disk.create_dir_all(deep).unwrap();
            disk.power_loss(steps);
            assert!(disk.exists(deep).unwrap(), "killed {at:?} step {steps}");
            if !killed {
                break;
            }
            steps += 1;
        }
        assert_eq!(steps, 6, "three directories, three syncs");
    }
}

#[test]
fn a_directory_whose_name_is_lost_takes_its_files_with_it() {
    let disk = SimDisk::new(1);
    inject(&disk, FaultKind::SyncDirError);
    disk.create_dir_all(Path::new("/data")).unwrap_err();
    let file = create(&disk, "a");
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    disk.power_loss(1);
    assert!(!disk.exists(&at("a")).unwrap());
    assert_eq!(disk.paths(), Vec::<PathBuf>::new());
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn after_a_failed_sync_the_pages_are_readable_then_gone_and_the_next_sync_says_yes() {
    for seed in SEEDS {
        let disk = new_disk();
        let file = synced(&disk, "a", b"kept");
        file.write_all_at(b" lost", 4).unwrap();
        inject(&disk, FaultKind::SyncError);
        let error = file.sync_data().unwrap_err();
        assert!(error.to_string().contains("(os error 5)"), "{error}");
        assert_eq!(content(&disk, "a").unwrap(), b"kept lost");
        file.sync_data().expect("the kernel has nothing left to complain about");
        disk.crash_process();
        assert_eq!(content(&disk, "a").unwrap(), b"kept lost", "a killed process does not lose pages");
        assert_eq!(disk.durable_bytes(&at("a")).unwrap(), b"kept");
        disk.power_loss(seed);
        assert_eq!(content(&disk, "a").unwrap(), b"kept");
    }
}

#[test]
fn after_a_failed_sync_what_is_written_anew_can_become_durable() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"kept");
    file.write_all_at(b" lost", 4).unwrap();
    inject(&disk, FaultKind::SyncError);
    file.sync_data().unwrap_err();
    file.write_all_at(b" again", 4).unwrap();
    file.sync_data().unwrap();
    disk.power_loss(1);
    assert_eq!(content(&disk, "a").unwrap(), b"kept again");
}

#[test]
fn a_failed_flush_of_a_map_loses_its_pages() {
    let disk = new_disk();
    synced(&disk, "a", b"....");
    let map = disk.map(&at("a"), 4).unwrap();
    map.write(0, b"x");
    inject(&disk, FaultKind::SyncError);
    map.flush().unwrap_err();
    map.flush().unwrap();
    disk.power_loss(1);
    assert_eq!(content(&disk, "a").unwrap(), b"....");
}

#[test]
fn after_a_failed_directory_sync_the_names_are_gone_with_the_power() {
    for seed in SEEDS {
        let disk = new_disk();
        create(&disk, "a").sync_data().unwrap();
        inject(&disk, FaultKind::SyncDirError);
        disk.sync_dir(Path::new("/data")).unwrap_err();
        disk.sync_dir(Path::new("/data")).unwrap();
        assert!(disk.exists(&at("a")).unwrap());
        disk.power_loss(seed);
        assert!(!disk.exists(&at("a")).unwrap());
    }
}

#[test]
fn a_failed_write_writes_nothing() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"before");
    let fail = || inject(&disk, FaultKind::WriteError);
    fail();
    file.write_at(b"after!", 0).unwrap_err();
    fail();
    file.set_len(0).unwrap_err();
    fail();
    file.allocate(100).unwrap_err();
    assert_eq!(content(&disk, "a").unwrap(), b"before");
    assert_eq!(fired(&disk, "write_error"), 3);
    file.write_all_at(b"after!", 0).unwrap();
}

#[test]
fn a_short_write_says_how_short_and_write_all_copes() {
    let disk = new_disk();
    let file = create(&disk, "a");
    inject(&disk, FaultKind::ShortWrite);
    let count = file.write_at(b"0123456789", 0).unwrap();
    assert!((1..10).contains(&count));
    assert_eq!(content(&disk, "a").unwrap(), b"0123456789"[..count]);

    disk.inject(Fault { kind: FaultKind::ShortWrite, path_suffix: None, skip: 0, times: u64::MAX });
    file.write_all_at(b"0123456789", 0).unwrap();
    assert_eq!(content(&disk, "a").unwrap(), b"0123456789");
}

#[test]
fn a_read_error_passes() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"abc");
    inject(&disk, FaultKind::ReadError);
    file.read_at(&mut [0; 3], 0).unwrap_err();
    file.read_exact_at(&mut [0; 3], 0).unwrap();
}

#[test]
fn a_bad_sector_stays_bad_until_it_is_written_again() {
    let disk = new_disk();
    let sector = SECTOR_BYTES as usize;
    synced(&disk, "a", &vec![1; 4 * sector]);
    assert!(disk.break_sector(&at("a"), SECTOR_BYTES + 17));
    assert!(!disk.break_sector(&at("a"), 4 * SECTOR_BYTES), "past the end");
    disk.power_loss(1);
    let file = disk.open(&at("a"), OpenMode::ReadWrite).unwrap();
    let read = |from: usize, count: usize| file.read_at(&mut vec![0; count], from as u64);
    for _ in 0..2 {
        assert_eq!(read(0, sector).unwrap(), sector);
        assert_eq!(read(2 * sector, sector).unwrap(), sector);
        read(sector - 1, 2).unwrap_err();
        read(2 * sector - 1, 1).unwrap_err();
    }
    file.write_all_at(&vec![2; sector - 1], SECTOR_BYTES).unwrap();
    read(sector, 1).expect_err("a part of the sector is not the sector");
    file.write_all_at(&vec![2; sector], SECTOR_BYTES).unwrap();
    assert_eq!(read(0, 9 * sector).unwrap(), 4 * sector);
}

#[test]
fn an_injected_bad_sector_is_in_the_range_that_was_read() {
    let disk = new_disk();
    let file = synced(&disk, "a", &[1; 4096]);
    inject(&disk, FaultKind::LatentSector);
    file.read_at(&mut [0; 1024], 1024).unwrap_err();
    assert_eq!(file.read_at(&mut [0; 1024], 0).unwrap(), 1024);
    assert_eq!(file.read_at(&mut [0; 2048], 2048).unwrap(), 2048);
    file.read_at(&mut [0; 1024], 1024).unwrap_err();
    assert_eq!(fired(&disk, "latent_sector"), 1);
}

#[test]
fn rot_flips_one_bit_of_what_is_synced_and_not_zero() {
    let disk = new_disk();
    let mut before = vec![0; 3000];
    before[1700] = 0xff;
    let file = synced(&disk, "a", &before);
    inject(&disk, FaultKind::BitRot);
    file.sync_data().unwrap();
    let after = content(&disk, "a").unwrap();
    assert_eq!(disk.durable_bytes(&at("a")).unwrap(), after);
    let flipped: u32 = before.iter().zip(&after).map(|(before, after)| (before ^ after).count_ones()).sum();
    assert_eq!(flipped, 1);
    assert_ne!(after[1700], 0xff);

    assert_eq!(disk.rot(&at("a"), 3), Some(1700));
    assert_eq!(disk.rot(&at("none"), 3), None);
    assert!(disk.corrupt(&at("a"), 1, 0x80));
    assert!(!disk.corrupt(&at("a"), 3000, 0x80));
    assert_eq!(content(&disk, "a").unwrap()[1], 0x80);
    assert_eq!(fired(&disk, "bit_rot"), 3);
}

#[test]
fn rot_does_not_show_through_a_dirty_page() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"aaaa");
    file.write_all_at(b"b", 1).unwrap();
    assert!(disk.corrupt(&at("a"), 1, 1));
    assert!(disk.corrupt(&at("a"), 2, 1));
    assert_eq!(content(&disk, "a").unwrap(), b"ab`a");
    assert_eq!(disk.durable_bytes(&at("a")).unwrap(), b"a``a");
}

#[test]
fn a_misdirected_write_lands_sectors_away_in_the_same_file() {
    let disk = new_disk();
    let file = synced(&disk, "a", &[b'.'; 4096]);
    inject(&disk, FaultKind::MisdirectedWrite);
    assert_eq!(file.write_at(b"stray", 1000).unwrap(), 5);
    file.sync_data().unwrap();
    let bytes = disk.durable_bytes(&at("a")).unwrap();
    assert_eq!(bytes.len(), 4096);
    let landed = bytes.windows(5).position(|window| window == b"stray").expect("it landed somewhere");
    assert_ne!(landed, 1000);
    assert_eq!(landed % 512, 1000 % 512);
    assert_eq!(bytes.iter().filter(|byte| **byte != b'.').count(), 5);
}

#[test]
fn a_write_is_not_misdirected_where_there_is_no_other_place() {
    let disk = new_disk();
    let file = create(&disk, "a");
    inject(&disk, FaultKind::MisdirectedWrite);
    file.write_all_at(&[b'x'; 600], 0).unwrap();
    assert_eq!(content(&disk, "a").unwrap(), [b'x'; 600]);
    assert_eq!(fired(&disk, "misdirected_write"), 0);
    file.write_all_at(b"now", 0).unwrap();
    assert_eq!(fired(&disk, "misdirected_write"), 1, "the fault waited for a write it can hit");
    assert_eq!(content(&disk, "a").unwrap()[512..515], *b"now");
}

#[test]
fn a_full_disk_cuts_a_write_short_then_refuses_but_takes_writes_in_place() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"0123456789");
    disk.set_space_bytes(Some(14));
    assert_eq!(disk.free_bytes(Path::new("/data")).unwrap(), 4);
    assert_eq!(file.write_at(b"abcdefgh", 8).unwrap(), 6);
    assert_eq!(content(&disk, "a").unwrap(), b"01234567abcdef");
    for error in [file.write_at(b"x", 14).unwrap_err(), file.set_len(15).unwrap_err(), file.allocate(15).unwrap_err()] {
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("(os error 28)"), "{error}");
    }
    assert_eq!(fired(&disk, "no_space"), 4);
    file.write_all_at(b"in place", 0).unwrap();
    file.sync_data().unwrap();

    file.set_len(4).unwrap();
    file.allocate(99).expect_err("it fills what there is, as a real one would");
    assert_eq!(file.len().unwrap(), 14);
    disk.set_space_bytes(None);
    file.allocate(99).unwrap();
    assert_eq!(file.len().unwrap(), 99);
}

#[test]
fn removing_a_file_makes_room_when_the_last_handle_is_gone() {
    let disk = new_disk();
    let file = synced(&disk, "a", &[1; 1000]);
    assert_eq!(disk.used_bytes(), 1000);
    disk.remove(&at("a")).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(disk.used_bytes(), 1000);
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn a_fault_hits_the_paths_and_the_calls_it_was_made_for() {
    let disk = new_disk();
    let (store, index) = (create(&disk, "1.store"), create(&disk, "1.index"));
    let path_suffix = Some(".store".to_owned());
    disk.inject(Fault { kind: FaultKind::WriteError, path_suffix, skip: 2, times: 2 });
    let results: Vec<bool> =
        (0..6).map(|_| index.write_at(b"x", 0).is_ok() && store.write_at(b"x", 0).is_ok()).collect();
    assert_eq!(results, [true, true, false, false, true, true]);
    assert_eq!(disk.fired(), BTreeMap::from([("write_error", 2)]));

    for kind in FaultKind::ALL {
        disk.inject(Fault { kind, path_suffix: None, skip: 0, times: u64::MAX });
    }
    disk.set_space_bytes(Some(0));
    disk.arm_crash(0, CrashAt::Before);
    disk.clear_faults();
    store.write_all_at(&[1; 2000], 0).unwrap();
    store.sync_data().unwrap();
    store.read_exact_at(&mut [0; 2000], 0).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(disk.fired(), BTreeMap::from([("write_error", 2)]));
}

/// A little of everything, until something fails.
fn exercise(disk: &SimDisk) -> io::Result<()> {
    disk.create_dir_all(Path::new("/data"))?;
    let file = disk.open(&at("a.tmp"), OpenMode::CreateNew)?;
    file.write_all_at(&[b'1'; 2000], 0)?;
    file.allocate(8192)?;
    file.sync_data()?;
    disk.rename(&at("a.tmp"), &at("a"))?;
    disk.sync_dir(Path::new("/data"))?;
    let map = disk.map(&at("a"), 8192)?;
    map.write(5000, b"mapped");
    map.flush()?;
    file.set_len(6000)?;
    file.write_all_at(&[b'2'; 2000], 100)?;
    drop(disk.lock(&at("lock"))?);
    disk.remove(&at("lock"))
}

#[test]
fn every_operation_is_a_place_to_crash_and_then_nothing_works_until_the_restart() {
    let whole = SimDisk::new(1);
    exercise(&whole).unwrap();
    let operations = whole.operations();
    assert_eq!(operations, 14);
    for at in [CrashAt::Before, CrashAt::Inside, CrashAt::After] {
        for after in 0..operations {
            let disk = SimDisk::new(after);
            let downs = Arc::new(AtomicU64::new(0));
            let (counted, inside) = (downs.clone(), disk.clone());
            disk.on_down(Box::new(move || {
                assert!(inside.is_down());
                counted.fetch_add(1, Ordering::Relaxed);
            }));
            disk.arm_crash(after, at);
            let error = exercise(&disk).unwrap_err();
            assert!(is_crash(&error), "{error}");
            assert!(disk.is_down());
            assert!(is_crash(&disk.list(Path::new("/")).unwrap_err()));
            assert!(is_crash(&disk.create_dir_all(Path::new("/x")).unwrap_err()));
            assert_eq!((downs.load(Ordering::Relaxed), fired(&disk, "crash")), (1, 1));

            if after % 2 == 0 {
                disk.crash_process();
            } else {
                disk.power_loss(after);
            }
            assert!(!disk.is_down());
            disk.list(Path::new("/")).unwrap();
        }
        let disk = SimDisk::new(1);
        disk.arm_crash(operations, at);
        exercise(&disk).expect("the crash is due after the last operation");
        assert!(is_crash(&disk.create_dir_all(Path::new("/x")).unwrap_err()));
    }
}

#[test]
fn a_crash_before_inside_or_after_a_write_leaves_none_a_part_or_all_of_it() {
    let left = |crash_at: CrashAt| {
        let lengths = SEEDS.map(|seed| {
            let disk = SimDisk::new(seed);
            disk.create_dir_all(Path::new("/data")).unwrap();
            let file = create(&disk, "a");
            disk.arm_crash(0, crash_at);
            file.write_at(b"0123456789", 0).unwrap_err();
            disk.crash_process();
            content(&disk, "a").unwrap().len()
        });
        Vec::from_iter(lengths.collect::<BTreeSet<_>>())
    };
    assert_eq!(left(CrashAt::Before), [0]);
    assert_eq!(left(CrashAt::Inside), Vec::from_iter(0..=10));
    assert_eq!(left(CrashAt::After), [10]);
}

#[test]
fn a_crash_after_a_sync_leaves_it_durable_and_inside_or_before_it_does_not() {
    let durable = |crash_at: CrashAt| {
        let disk = new_disk();
        let file = synced(&disk, "a", b"old");
        file.write_all_at(b"new", 0).unwrap();
        disk.arm_crash(0, crash_at);
        file.sync_data().unwrap_err();
        disk.durable_bytes(&at("a")).unwrap()
    };
    assert_eq!(durable(CrashAt::Before), b"old");
    assert_eq!(durable(CrashAt::Inside), b"old");
    assert_eq!(durable(CrashAt::After), b"new");
}

#[test]
fn a_crash_due_after_a_file_is_shortened_waits_for_that_and_can_be_taken_back() {
    let disk = new_disk();
    let file = synced(&disk, "a", b"0123456789");
    disk.arm_crash_once_shortened(1, CrashAt::Before);
    file.set_len(10).unwrap();
    file.set_len(20).unwrap();
    file.sync_data().unwrap();
    file.set_len(4).unwrap();
    file.write_all_at(b"the one that passes", 4).unwrap();
    assert!(is_crash(&file.sync_data().unwrap_err()));

    disk.crash_process();
    disk.arm_crash_once_shortened(0, CrashAt::Before);
    let file = disk.open(&at("a"), OpenMode::ReadWrite).unwrap();
    file.set_len(2).unwrap();
    disk.disarm_crash();
    file.sync_data().unwrap();
}

#[test]
fn a_crash_at_a_place_waits_for_operations_like_that() {
    let disk = new_disk();
    let file = create(&disk, "f.tmp");
    disk.arm_crash_at(Place { operation: "rename", path_suffix: ".tmp" }, 1, CrashAt::After);
    file.write_all_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    disk.rename(&at("f.tmp"), &at("f")).unwrap();
    disk.rename(&at("f"), &at("g")).unwrap();
    create(&disk, "h.tmp");
    assert!(is_crash(&disk.rename(&at("h.tmp"), &at("h")).unwrap_err()));
    disk.crash_process();
    assert!(disk.exists(&at("g")).unwrap() && disk.exists(&at("h")).unwrap());
}

#[test]
fn errors_without_an_end_go_on_until_they_are_withdrawn() {
    let disk = new_disk();
    let (file, other) = (create(&disk, "a.store"), create(&disk, "b.vote"));
    for path_suffix in [Some(".store".to_owned()), Some(".vote".to_owned())] {
        disk.inject(Fault { kind: FaultKind::WriteError, path_suffix, skip: 0, times: u64::MAX });
    }
    (0..3).for_each(|_| assert!(file.write_at(b"x", 0).is_err()));
    disk.withdraw(FaultKind::SyncError, Some(".store"));
    assert!(file.write_at(b"x", 0).is_err());
    disk.withdraw(FaultKind::WriteError, Some(".store"));
    assert!(file.write_at(b"x", 0).is_ok() && other.write_at(b"x", 0).is_err());
    assert_eq!(fired(&disk, "write_error"), 5);
}

#[test]
fn the_same_seeds_give_the_same_disk_and_the_same_events() {
    let run = |power: u64| {
        let disk = SimDisk::new(5);
        let events: Arc<Mutex<Vec<DiskEvent>>> = Arc::default();
        let observed = events.clone();
        disk.observe(Box::new(move |event| observed.lock().unwrap().push(event.clone())));
        inject(&disk, FaultKind::ShortWrite);
        exercise(&disk).unwrap();
        disk.power_loss(power);
        let events = events.lock().unwrap().clone();
        (disk.cached_bytes(&at("a")), disk.fired(), events)
    };
    assert_eq!(run(1), run(1));
    let distinct: BTreeSet<_> = (0..50).map(|seed| run(seed).0).collect();
    assert!(distinct.len() > 5, "the seed of a power loss decides nothing");

    let events = run(1).2;
    let operations: Vec<_> = events.iter().map(|event| event.operation).collect();
    let expected = ["create directory", "sync directory", "open", "short_write", "write", "write"];
    assert_eq!(operations[..6], expected);
    assert_eq!(events[4].length, 2000);
    assert_eq!(events[5].length, 2000 - events[4].result.unwrap());
    assert!(operations.contains(&"power_loss"));
}

#[test]
fn leaving_one_fault_out_changes_nothing_about_another() {
    let stray = |short_write_too: bool| {
        let disk = new_disk();
        let file = synced(&disk, "a", &[b'.'; 40960]);
        if short_write_too {
            let path_suffix = Some("b".to_owned());
            disk.inject(Fault { kind: FaultKind::ShortWrite, path_suffix, skip: 0, times: 1 });
        }
        create(&disk, "b").write_at(b"bbb", 0).unwrap();
        inject(&disk, FaultKind::MisdirectedWrite);
        file.write_all_at(b"stray", 0).unwrap();
        content(&disk, "a")
    };
    assert_eq!(stray(true), stray(false));
}

#[test]
fn what_a_file_loses_does_not_depend_on_what_else_is_on_the_disk() {
    let torn = |another: bool| {
        let disk = new_disk();
        let file = synced(&disk, "b", &[b'.'; 40960]);
        if another {
            synced(&disk, "a", b"").write_all_at(&[1; 5000], 0).unwrap();
        }
        file.write_all_at(&[b'x'; 40960], 0).unwrap();
        disk.power_loss(2);
        content(&disk, "b")
    };
    assert_eq!(torn(true), torn(false));
}

#[test]
fn a_disk_that_is_down_can_be_copied_out_and_looked_at() {
    let disk = new_disk();
    disk.create_dir_all(Path::new("/data/empty")).unwrap();
    create(&disk, "a").write_all_at(b"unsynced", 0).unwrap();
    disk.arm_crash(0, CrashAt::Before);
    disk.sync_dir(Path::new("/data")).unwrap_err();

    let directory = tempfile::tempdir().unwrap();
    let real = RealDisk::new();
    disk.copy_to(&real, directory.path()).unwrap();
    assert_eq!(real.list(&directory.path().join("data")).unwrap(), ["a", "empty"]);
    let file = real.open(&directory.path().join("data/a"), OpenMode::Read).unwrap();
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"unsynced");
}
