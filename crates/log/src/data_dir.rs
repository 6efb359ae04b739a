//! The root of a data directory: who it belongs to, and that only one process uses it.

use crate::error::OpenError;
use crate::segment::read_store_header;
use crate::small_file;
use crate::verify::{Report, verify};
use seedlog_runtime::disk::{Disk, Lock};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"SLIDENT1";
/// 2: producers, fence and retention in the fold. A directory of format 1 is read and becomes one of 2.
const FORMAT: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity {
    pub cluster_id: u128,
    /// Given once; a wiped directory comes back as a new one.
    pub node_id: u64,
}

impl Identity {
    /// `| cluster id u128 | node id u64 |`, as all files have it, little-endian.
    pub fn encode(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..16].copy_from_slice(&self.cluster_id.to_le_bytes());
        out[16..].copy_from_slice(&self.node_id.to_le_bytes());
        out
    }

    /// `None` if these are not as many bytes.
    pub fn decode(bytes: &[u8]) -> Option<Identity> {
        let (cluster, node) = bytes.split_first_chunk::<16>()?;
        let node_id = u64::from_le_bytes(node.try_into().ok()?);
        Some(Identity { cluster_id: u128::from_le_bytes(*cluster), node_id })
    }

    /// Checks that the file at `path`, which says that it is `found`'s, is this node's.
    ///
    /// # Errors
    /// [`OpenError::Foreign`]: its promises are another node's. One of the two not known is no error.
    pub fn check_owner(self, path: &Path, found: Identity) -> Result<(), OpenError> {
        let known = self != Identity::default() && found != Identity::default();
        if known && found != self {
            return Err(OpenError::Foreign { path: path.to_owned(), found, owner: self });
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:016x} of cluster {:032x}", self.node_id, self.cluster_id)
    }
}

/// A data directory in use by this process, until dropped.
///
/// ```text
/// lock        held while in use
/// identity    | format u32 | cluster id u128, 0: none yet | node id u64 | notes: u8 |
///             notes: 1 the log was there, 2 the cluster was joined and not begun here, 4 it was a member
/// groups/0/   the log of Raft group 0, and its vote
/// ```
pub struct DataDir {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    identity: Identity,
    notes: Notes,
    _lock: Box<dyn Lock>,
}

impl DataDir {
    /// Opens `root`, or makes it a data directory with the identity that `fresh` gives.
    ///
    /// # Errors
    /// In use by another process, of a newer format, damaged, or not to be read or written: each names
    /// the path, and nothing has been changed.
    pub fn open(disk: &Arc<dyn Disk>, root: &Path, fresh: impl FnOnce() -> Identity) -> Result<DataDir, OpenError> {
        let io = |what| move |error| OpenError::Io { what, path: root.to_owned(), error };
        disk.create_dir_all(root).map_err(io("create the data directory"))?;
        let lock = match disk.lock(&root.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked { path: root.to_owned() });
            }
            lock => lock.map_err(io("lock the data directory"))?,
        };
        let (identity, notes) = match read(&**disk, root)? {
            Some(Found { identity, notes, format }) => {
                if format < FORMAT {
                    // Before anything is written that an older program would take for damage.
                    write(&**disk, root, identity, notes)?;
                }
                (identity, notes)
            }
            None => (found(disk, root, fresh())?, Notes::default()),
        };
        Ok(DataDir { disk: disk.clone(), root: root.to_owned(), identity, notes, _lock: lock })
    }

    /// Whether `root` is a data directory already, or what is left of one. Changes nothing.
    ///
    /// # Errors
    /// [`OpenError::Io`] if that cannot be seen.
    pub fn is_one(disk: &dyn Disk, root: &Path) -> Result<bool, OpenError> {
        for name in ["identity", "groups"] {
            let found = disk.exists(&root.join(name));
            if found.map_err(|error| OpenError::Io { what: "use", path: root.to_owned(), error })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a log was there before: then one that is not there now is lost, and no new one may begin.
    pub fn has_log(&self) -> bool {
        self.notes.has_log
    }

    /// Whether the cluster was there before this node: then this node never begins one of its own.
    pub fn has_joined(&self) -> bool {
        self.notes.joined
    }

    /// Whether it was a member of its cluster: one that was and is no more has been taken out.
    pub fn was_member(&self) -> bool {
        self.notes.member
    }

    /// Notes, durably, that the log is there.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn note_log(&mut self) -> Result<(), OpenError> {
        self.note(self.identity, Notes { has_log: true, ..self.notes })
    }

    /// Notes, durably, that it is a member.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn note_member(&mut self) -> Result<(), OpenError> {
        self.note(self.identity, Notes { member: true, ..self.notes })
    }

    /// Gives a directory of no cluster its own, durably and for good: one that begins here, or one `joined`.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    ///
    /// # Panics
    /// If it belongs to a cluster.
    pub fn set_cluster(&mut self, cluster_id: u128, joined: bool) -> Result<(), OpenError> {
        assert_eq!(self.identity.cluster_id, 0, "a node stays in its cluster");
        self.note(Identity { cluster_id, ..self.identity }, Notes { joined, ..self.notes })
    }

    fn note(&mut self, identity: Identity, notes: Notes) -> Result<(), OpenError> {
        if (identity, notes) != (self.identity, self.notes) {
            write(&*self.disk, &self.root, identity, notes)?;
            (self.identity, self.notes) = (identity, notes);
        }
        Ok(())
    }

    /// The identity kept in `root`; `None` if there is none.
    ///
    /// # Errors
    /// [`OpenError::NewerFormat`], or a damaged or unreadable file.
    pub fn read_identity(disk: &dyn Disk, root: &Path) -> Result<Option<Identity>, OpenError> {
        Ok(read(disk, root)?.map(|found| found.identity))
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub fn group_dir(&self) -> PathBuf {
        DataDir::group_dir_of(&self.root)
    }

    /// Where the log of a data directory is, whoever uses it.
    pub fn group_dir_of(root: &Path) -> PathBuf {
        root.join("groups").join("0")
    }
}

/// [`verify`] of the log of the data directory `root`, and of its identity; that there is no log is
/// damage if there was one.
///
/// # Errors
/// As [`verify`], and as [`DataDir::read_identity`], but for damage.
pub fn verify_data_dir(disk: &dyn Disk, root: &Path) -> Result<Report, OpenError> {
    let dir = DataDir::group_dir_of(root);
    let io = |error| OpenError::Io { what: "look for", path: dir.clone(), error };
    let mut report = if disk.exists(&dir).map_err(io)? { verify(disk, &dir)? } else { Report::default() };
    match read(disk, root) {
        Ok(Some(Found { notes: Notes { has_log: true, .. }, .. }))
            if report.is_sound() && report.segments.is_empty() =>
        {
            report.damaged_files.push((dir, "it held a log, and its files are gone"));
        }
        Ok(Some(Found { identity, .. })) => {
            let stores = report.segments.iter().map(|segment| (segment.store.clone(), segment.first_index));
            for (store, first_index) in stores.collect::<Vec<_>>() {
                let owner = read_store_header(disk, &store, first_index)?.owner;
                if identity.check_owner(&store, owner).is_err() {
                    report.damaged_files.push((store, "it is another node's"));
                }
            }
        }
        Ok(None) => report.damaged_files.push((root.join("identity"), "it is missing")),
        Err(OpenError::DamagedFile { path, what }) => report.damaged_files.push((path, what)),
        Err(error) => return Err(error),
    }
    Ok(report)
}

struct Found {
    identity: Identity,
    notes: Notes,
    format: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Notes {
    has_log: bool,
    joined: bool,
    member: bool,
}

impl Notes {
    const LOG: u8 = 1;
    const JOINED: u8 = 2;
    const MEMBER: u8 = 4;

    fn encode(self) -> u8 {
        let Notes { has_log, joined, member } = self;
        u8::from(has_log) * Self::LOG + u8::from(joined) * Self::JOINED + u8::from(member) * Self::MEMBER
    }

    fn decode(byte: u8) -> Option<Notes> {
        let has = |bit| byte & bit != 0;
        let notes = Notes { has_log: has(Self::LOG), joined: has(Self::JOINED), member: has(Self::MEMBER) };
        (notes.encode() == byte).then_some(notes)
    }
}

fn read(disk: &dyn Disk, root: &Path) -> Result<Option<Found>, OpenError> {
    let path = root.join("identity");
    let Some(body) = small_file::read(disk, &path, MAGIC)? else { return Ok(None) };
    let damaged = || OpenError::DamagedFile { path: path.clone(), what: "it does not decode" };
    let (format, rest) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
    let format = u32::from_le_bytes(*format);
    if format > FORMAT {
        return Err(OpenError::NewerFormat { path: root.to_owned(), found: format, known: FORMAT });
    }
    let (identity, rest) = rest.split_first_chunk::<24>().ok_or_else(damaged)?;
    let identity = Identity::decode(identity).ok_or_else(damaged)?;
    let notes = match rest {
        [notes] => Notes::decode(*notes).ok_or_else(damaged)?,
        _ => return Err(damaged()),
    };
    Ok(Some(Found { identity, notes, format }))
}

fn found(disk: &Arc<dyn Disk>, root: &Path, identity: Identity) -> Result<Identity, OpenError> {
    let groups = root.join("groups");
    if disk.exists(&groups).map_err(|error| OpenError::Io { what: "look for", path: groups.clone(), error })? {
        // A log whose identity was lost: going on under a new one would forget its votes and acks.
        return Err(OpenError::NoIdentity { path: root.to_owned(), missing: "identity file" });
    }
    write(&**disk, root, identity, Notes::default())?;
    Ok(identity)
}

fn write(disk: &dyn Disk, root: &Path, identity: Identity, notes: Notes) -> Result<(), OpenError> {
    let path = root.join("identity");
    let mut body = FORMAT.to_le_bytes().to_vec();
    body.extend_from_slice(&identity.encode());
    body.push(notes.encode());
    small_file::replace(disk, &path, MAGIC, &body).map_err(|error| OpenError::Io { what: "write", path, error })
}
