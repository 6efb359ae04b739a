//! Crashes in the middle of an operation.

use super::*;

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
