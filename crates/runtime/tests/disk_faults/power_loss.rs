//! What is left when the power goes, or the process.

use super::*;

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
