//! The same seeds, the same disk.

use super::*;

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
