//! Operations that fail, or do something else than they say.

use super::*;

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
fn what_a_power_loss_may_bring_back_is_nobody_elses() {
    let disk = new_disk();
    let file = synced(&disk, "a", &[1; 1000]);
    file.set_len(10).unwrap();
    assert_eq!(disk.used_bytes(), 1000);
    disk.set_space_bytes(Some(1200));
    assert_eq!(disk.free_bytes(Path::new("/data")).unwrap(), 200);
    // It may have again what it had.
    file.write_all_at(&[2; 990], 10).unwrap();
    file.set_len(10).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.used_bytes(), 10);
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
