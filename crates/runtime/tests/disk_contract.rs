//! What every disk promises, as scripts that the real one and the simulated one both pass.
//!
//! A line is a command and what it answers. Handles, maps and locks go by the name they were opened
//! under. A zero byte is shown as a dot, an error as its kind.

use seedlog_runtime::disk::{Disk, File, Lock, Map, OpenMode, RealDisk, SimDisk};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

macro_rules! contract {
    ($($title:ident: $script:literal)*) => {
        mod real { $(#[test] fn $title() { super::on_real_disk($script) })* }
        mod simulated { $(#[test] fn $title() { super::on_sim_disk($script) })* }
    };
}

contract! {
    what_is_written_is_read_back: "
        create a               -> ok
        write a 0 hello        -> 5
        write a 5 ,world       -> 6
        read a 0 11            -> hello,world
        read a 6 3             -> wor
        write a 0 J            -> 1
        read a 0 11            -> Jello,world
        length a               -> 11"

    a_read_at_the_end_is_short_and_past_it_is_empty: "
        create a               -> ok
        read a 0 4             ->
        write a 0 hello        -> 5
        read a 3 10            -> lo
        read a 5 10            ->
        read a 500000 10       ->
        read-exactly a 3 2     -> lo
        read-exactly a 3 3     -> UnexpectedEof
        read a 0 0             ->"

    a_gap_reads_as_zeros: "
        create a               -> ok
        write a 4 x            -> 1
        read a 0 9             -> ....x
        set-length a 7         -> ok
        read a 0 9             -> ....x.."

    an_empty_write_does_nothing: "
        create a               -> ok
        write-nothing a 9      -> 0
        length a               -> 0"

    cutting_and_extending_leaves_zeros_not_what_was_there: "
        create a               -> ok
        write a 0 abcdef       -> 6
        set-length a 2         -> ok
        read a 0 9             -> ab
        set-length a 5         -> ok
        read a 0 9             -> ab..."

    allocate_adds_zeros_and_never_shrinks: "
        create a               -> ok
        write a 0 abc          -> 3
        allocate a 6           -> ok
        read a 0 9             -> abc...
        allocate a 2           -> ok
        allocate a 6           -> ok
        length a               -> 6
        write a 3 def          -> 3
        read a 0 9             -> abcdef
        allocate a 600001      -> ok
        length a               -> 600001
        read a 0 7             -> abcdef.
        read a 600000 2        -> ."

    opening_asks_for_what_is_there: "
        open a                 -> NotFound
        read-only a            -> NotFound
        create a               -> ok
        create a               -> AlreadyExists
        write a 0 abc          -> 3
        open a                 -> ok
        read a 0 9             -> abc
        write a 1 X            -> 1
        read-only a            -> ok
        read a 0 9             -> aXc
        open none/a            -> NotFound
        create none/a          -> NotFound"

    a_file_opened_to_read_is_not_written: "
        create a               -> ok
        write a 0 abc          -> 3
        read-only a            -> ok
        refused write a 0 x    -> refused
        refused set-length a 0 -> refused
        refused allocate a 9   -> refused
        read a 0 9             -> abc
        sync a                 -> ok"

    two_handles_see_one_file: "
        create a               -> ok
        open a as b            -> ok
        write a 0 abc          -> 3
        read b 0 9             -> abc
        set-length b 1         -> ok
        length a               -> 1"

    rename_replaces_and_handles_follow_the_file: "
        create a               -> ok
        write a 0 new          -> 3
        create b               -> ok
        write b 0 old          -> 3
        rename a b             -> ok
        list .                 -> b
        open a                 -> NotFound
        read a 0 9             -> new
        read b 0 9             -> old
        open b as c            -> ok
        read c 0 9             -> new
        rename b b             -> ok
        list .                 -> b
        rename a c             -> NotFound"

    rename_stays_in_its_directory: "
        make-directory d       -> ok
        create a               -> ok
        rename a d/a           -> CrossesDevices
        rename a none/a        -> CrossesDevices
        list .                 -> a d"

    a_removed_file_lives_as_long_as_its_handles: "
        create a               -> ok
        write a 0 abc          -> 3
        remove a               -> ok
        exists a               -> false
        remove a               -> NotFound
        read a 0 9             -> abc
        write a 3 d            -> 1
        read a 0 9             -> abcd
        sync a                 -> ok
        create a as b          -> ok
        read b 0 9             ->
        read a 0 9             -> abcd"

    a_directory_is_not_removed_as_a_file: "
        make-directory d       -> ok
        refused remove d       -> refused
        exists d               -> true"

    names_are_listed_sorted: "
        list .                 ->
        create b               -> ok
        create c               -> ok
        create a               -> ok
        make-directory bb      -> ok
        create bb/inner        -> ok
        list .                 -> a b bb c
        list bb                -> inner
        list none              -> NotFound
        list a                 -> NotADirectory"

    directories_are_created_with_their_parents: "
        make-directory x/y/z   -> ok
        make-directory x/y/z   -> ok
        exists x/y             -> true
        create x/y/z/a         -> ok
        list x/y/z             -> a
        exists x/none          -> false
        exists none/none       -> false"

    a_directory_cannot_take_the_place_of_a_file: "
        create a               -> ok
        refused make-directory a   -> refused
        refused make-directory a/b -> refused
        list .                 -> a"

    syncing_a_directory_needs_one: "
        sync-directory .       -> ok
        sync-directory none    -> NotFound
        create a               -> ok
        sync-directory a       -> NotADirectory
        sync a                 -> ok"

    a_lock_has_one_holder: "
        lock l                 -> ok
        exists l               -> true
        lock l as again        -> WouldBlock
        unlock l               -> ok
        lock l as again        -> ok
        lock l                 -> WouldBlock
        lock none/l            -> NotFound
        lock other             -> ok"

    locking_leaves_the_file_as_it_is: "
        create l               -> ok
        write l 0 abc          -> 3
        lock l as guard        -> ok
        read l 0 9             -> abc
        unlock guard           -> ok
        read l 0 9             -> abc"

    a_map_and_its_file_are_the_same_bytes: "
        create a               -> ok
        allocate a 16          -> ok
        map a 8                -> ok
        map-length a           -> 8
        write a 0 abc          -> 3
        map-read a 0 4         -> abc.
        map-write a 6 yz       -> ok
        read a 4 9             -> ..yz.....
        flush a                -> ok
        write a 6 YZ           -> 2
        map-read a 0 8         -> abc...YZ
        map a 16 as second     -> ok
        map-write second 1 -   -> ok
        map-read a 0 3         -> a-c
        remove a               -> ok
        map-write a 0 x        -> ok
        map-read second 0 3    -> x-c
        flush a                -> ok"

    a_map_needs_a_file_that_is_long_enough: "
        map a 1                -> NotFound
        create a               -> ok
        map a 1                -> UnexpectedEof
        set-length a 4096      -> ok
        map a 4097             -> UnexpectedEof
        map a 4096             -> ok
        map-read a 4094 2      -> .."

    a_map_refuses_what_is_not_inside_it: "
        create a               -> ok
        set-length a 16        -> ok
        map a 8                -> ok
        panics map-read a 7 2  -> panicked
        panics map-write a 8 x -> panicked
        map-read a 8 0         ->"
}

fn on_real_disk(script: &str) {
    let directory = tempfile::tempdir().unwrap();
    run(&RealDisk::new(), directory.path(), script);
}

fn on_sim_disk(script: &str) {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    run(&disk, Path::new("/data"), script);
}

fn run(disk: &dyn Disk, root: &Path, script: &str) {
    let mut world = World { disk, root, files: BTreeMap::new(), maps: BTreeMap::new(), locks: BTreeMap::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("->").expect("a line is: command -> answer");
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(world.answer(&words), expected.trim(), "{command}");
    }
}

struct World<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    files: BTreeMap<String, Arc<dyn File>>,
    maps: BTreeMap<String, Arc<dyn Map>>,
    locks: BTreeMap<String, Box<dyn Lock>>,
}

impl World<'_> {
    fn answer(&mut self, words: &[&str]) -> String {
        match words {
            // Disks agree that these fail, not on the kind.
            ["refused", command @ ..] => match self.execute(command) {
                Ok(done) => done,
                Err(_) => "refused".into(),
            },
            ["panics", command @ ..] => {
                let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.execute(command)));
                if run.is_err() { "panicked".into() } else { "did not panic".into() }
            }
            command => self.execute(command).unwrap_or_else(|error| format!("{:?}", error.kind())),
        }
    }

    fn execute(&mut self, words: &[&str]) -> io::Result<String> {
        let done = |()| "ok".to_owned();
        let (words, name) = match words {
            [command @ .., "as", name] => (command, *name),
            _ => (words, words[1]),
        };
        let path = |name: &str| if name == "." { self.root.to_owned() } else { self.root.join(name) };
        match words {
            ["create", at] => self.open(path(at), name, OpenMode::CreateNew),
            ["open", at] => self.open(path(at), name, OpenMode::ReadWrite),
            ["read-only", at] => self.open(path(at), name, OpenMode::Read),
            ["write", file, at, text] => {
                Ok(self.files[*file].write_at(text.as_bytes(), number(at) as u64)?.to_string())
            }
            ["write-nothing", file, at] => Ok(self.files[*file].write_at(&[], number(at) as u64)?.to_string()),
            ["read", file, at, count] => {
                let mut bytes = vec![b'?'; number(count)];
                let read = self.files[*file].read_at(&mut bytes, number(at) as u64)?;
                Ok(show(&bytes[..read]))
            }
            ["read-exactly", file, at, count] => {
                let mut bytes = vec![b'?'; number(count)];
                self.files[*file].read_exact_at(&mut bytes, number(at) as u64)?;
                Ok(show(&bytes))
            }
            ["length", file] => Ok(self.files[*file].len()?.to_string()),
            ["set-length", file, len] => self.files[*file].set_len(number(len) as u64).map(done),
            ["allocate", file, len] => self.files[*file].allocate(number(len) as u64).map(done),
            ["sync", file] => self.files[*file].sync_data().map(done),
            ["rename", from, to] => self.disk.rename(&path(from), &path(to)).map(done),
            ["remove", at] => self.disk.remove(&path(at)).map(done),
            ["list", at] => Ok(self.disk.list(&path(at))?.join(" ")),
            ["exists", at] => Ok(self.disk.exists(&path(at))?.to_string()),
            ["make-directory", at] => self.disk.create_dir_all(&path(at)).map(done),
            ["sync-directory", at] => self.disk.sync_dir(&path(at)).map(done),
            ["lock", at] => {
                let lock = self.disk.lock(&path(at))?;
                self.locks.insert(name.to_owned(), lock);
                Ok("ok".into())
            }
            ["unlock", guard] => {
                self.locks.remove(*guard).expect("a lock that is held");
                Ok("ok".into())
            }
            ["map", at, len] => {
                let map = self.disk.map(&path(at), number(len))?;
                self.maps.insert(name.to_owned(), map);
                Ok("ok".into())
            }
            ["map-length", map] => Ok(self.maps[*map].len().to_string()),
            ["map-read", map, at, count] => {
                let mut bytes = vec![b'?'; number(count)];
                self.maps[*map].read(number(at), &mut bytes);
                Ok(show(&bytes))
            }
            ["map-write", map, at, text] => {
                self.maps[*map].write(number(at), text.as_bytes());
                Ok("ok".into())
            }
            ["flush", map] => self.maps[*map].flush().map(done),
            unknown => panic!("no such command: {unknown:?}"),
        }
    }

    fn open(&mut self, path: PathBuf, name: &str, mode: OpenMode) -> io::Result<String> {
        let file = self.disk.open(&path, mode)?;
        self.files.insert(name.to_owned(), file);
        Ok("ok".into())
    }
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if *byte == 0 { '.' } else { char::from(*byte) }).collect()
}

/// What no script can say, for both disks.
fn suite(disk: &dyn Disk, root: &Path) {
    let missing = root.join("missing");
    assert!(disk.free_bytes(root).unwrap() > 0);
    assert_eq!(disk.free_bytes(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);

    // An operator reads the text: it names what was tried and where.
    let error = disk.open(&missing, OpenMode::Read).err().expect("there is no such file");
    assert!(error.to_string().starts_with(&format!("open {}: ", missing.display())), "{error}");
    let error = disk.lock(&missing.join("lock")).err().expect("there is no such directory").to_string();
    assert!(error.contains("missing/lock"), "{error}");

    // A handle outlives the variable that held the disk, and may be used from another thread.
    let file = disk.open(&root.join("file"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&vec![7; 1 << 20], 3).unwrap();
    assert_eq!(file.len().unwrap(), (1 << 20) + 3);
    assert!(!file.is_empty().unwrap());
    let mut read = vec![0; 1 << 20];
    file.read_exact_at(&mut read, 3).unwrap();
    assert!(read.iter().all(|byte| *byte == 7));
}

#[test]
fn errors_name_the_operation_and_the_path_on_the_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    suite(&RealDisk::new(), directory.path());
    let error = RealDisk::new().open(&directory.path().join("none"), OpenMode::Read).err().unwrap();
    assert!(error.to_string().ends_with("(os error 2)"), "{error}");
}

#[test]
fn errors_name_the_operation_and_the_path_on_the_simulated_disk() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    suite(&disk, Path::new("/data"));
}

#[test]
fn a_full_real_disk_says_so_by_kind_as_the_simulated_one_does() {
    let full = RealDisk::new().open(Path::new("/dev/full"), OpenMode::ReadWrite).unwrap();
    let error = full.write_all_at(b"x", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().starts_with("write /dev/full: ") && error.to_string().ends_with("(os error 28)"));
}
