//! What holds whatever bytes the small files of a node have: it panics if it does not. The fuzz target
//! (`crates/fuzz`) and a property test call the same.

use crate::types::Vote;
use crate::vote::VoteFile;
use seedlog_log::{DataDir, Identity, OpenError, small_file, verify_data_dir};
use seedlog_runtime::disk::{Disk, OpenMode, SimDisk};
use std::path::Path;
use std::sync::Arc;

const VOTE: [u8; 8] = *b"SLVOTE01";
const IDENTITY: [u8; 8] = *b"SLIDENT1";

/// The bytes as the vote's file and as the identity, as they are and as the body behind a checksum that
/// matches: refused by name, or what is then written again is read back the same.
pub fn small_files(bytes: &[u8]) {
    vote(bytes);
    identity(bytes);
}

fn vote(bytes: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let dir = Path::new("/data");
    disk.create_dir_all(dir).expect("an empty disk");
    let owner = Identity { cluster_id: 3, node_id: 4 };
    let (path, file) = (dir.join("vote"), VoteFile::new(disk.clone(), dir, owner));
    assert!(file.read().expect("there is none").is_none());
    let read = || small_file::read(&*disk, &path, VOTE);

    write(&*disk, &path, bytes);
    match read() {
        Ok(body) => {
            let body = body.expect("it is there");
            assert_eq!(small_file::check(&*disk, &path).ok(), Some(()));
            small_file::replace(&*disk, &path, VOTE, &body).expect("no fault is injected");
            assert_eq!(read().expect("written just now"), Some(body));
        }
        Err(OpenError::DamagedFile { path: named, .. }) => {
            assert_eq!(named, path);
            assert!(file.read().is_err());
        }
        Err(other) => panic!("{other}"),
    }

    small_file::replace(&*disk, &path, VOTE, bytes).expect("no fault is injected");
    assert_eq!(read().expect("written just now").as_deref(), Some(bytes));
    assert!(small_file::read(&*disk, &path, IDENTITY).is_err(), "another kind of file");
    match file.read() {
        Ok(vote) => {
            let vote: Vote = vote.expect("it is there");
            assert!([17, 41].contains(&bytes.len()) && bytes[16] == u8::from(vote.committed));
            file.save(&vote).expect("no fault is injected");
            assert_eq!(file.read().expect("written just now"), Some(vote));
            let body = read().expect("written just now").expect("it is there");
            // In a vote of before owners were noted, or of one that was not known, it is noted now.
            assert_eq!((body.len(), &body[..17]), (41, &bytes[..17]));
        }
        Err(OpenError::DamagedFile { path: named, .. }) => {
            assert!(named == path && (![17, 41].contains(&bytes.len()) || bytes[16] > 1));
        }
        Err(OpenError::Foreign { path: named, found, .. }) => {
            assert!(named == path && found != owner && bytes.len() == 41);
        }
        Err(other) => panic!("{other}"),
    }
    changed_bytes_are_noticed(&*disk, &path, bytes.len());
}

/// One byte of the file, chosen by its length, is another one.
fn changed_bytes_are_noticed(disk: &dyn Disk, path: &Path, length: usize) {
    let file = disk.open(path, OpenMode::ReadWrite).expect("it is there");
    let position = (length * 31) as u64 % file.len().expect("no fault is injected");
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).expect("within the file");
    file.write_all_at(&[byte[0] ^ 4], position).expect("no fault is injected");
    assert!(small_file::check(disk, path).is_err(), "byte {position}");
}

fn identity(bytes: &[u8]) {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let root = Path::new("/data");
    disk.create_dir_all(root).expect("an empty disk");
    let path = root.join("identity");
    for behind_a_checksum in [false, true] {
        if behind_a_checksum {
            small_file::replace(&*disk, &path, IDENTITY, bytes).expect("no fault is injected");
        } else {
            write(&*disk, &path, bytes);
        }
        let fresh = || -> Identity { panic!("it has an identity, good or bad") };
        match DataDir::open(&disk, root, fresh) {
            Ok(data_dir) => {
                let read = DataDir::read_identity(&*disk, root).expect("it was open");
                assert_eq!(read, Some(data_dir.identity()));
                let report = verify_data_dir(&*disk, root).expect("every byte can be read");
                // The log that it may claim to have is not there.
                assert_eq!(report.is_sound(), !data_dir.has_log());
            }
            Err(OpenError::DamagedFile { path: named, .. }) => {
                assert_eq!(named, path);
                assert!(!verify_data_dir(&*disk, root).expect("every byte can be read").is_sound());
            }
            Err(OpenError::NewerFormat { found, known, .. }) => assert!(found > known),
            Err(other) => panic!("{other}"),
        }
    }
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).expect("it is not there");
    file.write_all_at(bytes, 0).expect("no fault is injected");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fuzzing_kept_still_holds() {
        let dir = format!("{}/../fuzz/corpus/small_files", env!("CARGO_MANIFEST_DIR"));
        #[allow(clippy::disallowed_methods, reason = "the corpus is no file of the product")]
        let kept: Vec<_> = std::fs::read_dir(&dir)
            .unwrap_or_else(|error| panic!("{dir}: {error}"))
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!kept.is_empty());
        kept.iter().for_each(|bytes| small_files(bytes));
    }

    #[test]
    #[ignore = "writes the corpus that fuzzing starts from, crates/fuzz/corpus"]
    #[allow(clippy::disallowed_methods, reason = "the corpus is no file of the product")]
    fn write_the_samples() {
        let dir = format!("{}/../fuzz/corpus/small_files", env!("CARGO_MANIFEST_DIR"));
        let (disk, root) = (SimDisk::new(1), Path::new("/data"));
        let owner = Identity { cluster_id: 3, node_id: 4 };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        DataDir::open(&shared, root, || owner).unwrap().note_log().unwrap();
        VoteFile::new(shared.clone(), root, owner).save(&Vote::new_committed(3, 4)).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["identity", "vote"] {
            let whole = disk.cached_bytes(&root.join(name)).unwrap();
            std::fs::write(format!("{dir}/sample-{name}"), &whole).unwrap();
            // As the body behind a checksum, too.
            std::fs::write(format!("{dir}/sample-{name}-body"), &whole[16..]).unwrap();
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_for_a_small_file(
            bytes in prop::collection::vec(any::<u8>(), 0..40), last in prop::option::of(0..3_u8)
        ) {
            small_files(&bytes);
            // A vote's lengths, an identity's, and a last byte that is a flag.
            for length in [17, 41, 29] {
                let mut bytes = bytes.clone();
                bytes.resize(length, last.unwrap_or(7));
                small_files(&bytes);
                bytes[..4].copy_from_slice(&[2, 0, 0, 0]);
                small_files(&bytes);
            }
        }
    }
}
