//! Small files that are replaced whole: the vote, a segment's state, the log's start, the identity.
//!
//! ```text
//! | magic 8 | length u32 | CRC-32C of magic, length and body u32 | body |
//! ```

use crate::error::OpenError;
use crate::layout::crc32c;
use seedlog_runtime::disk::{Disk, OpenMode};
use std::io;
use std::path::{Path, PathBuf};

/// No small file is near this; a length past it is damage, not a reason to allocate.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Replaces the file at `path`, or creates it: after a crash it holds either the old body or the new
/// one, and the new one for certain once this has returned.
pub fn replace(disk: &dyn Disk, path: &Path, magic: [u8; 8], body: &[u8]) -> io::Result<()> {
    let temporary = temporary_path(path);
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    let file = disk.open(&temporary, OpenMode::CreateNew)?;
    file.write_all_at(&encode(magic, body), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// The body of the file at `path`; `None` if there is no such file.
///
/// # Errors
/// [`OpenError::DamagedFile`] if it is not what was written, [`OpenError::Io`] if it cannot be read.
pub fn read(disk: &dyn Disk, path: &Path, magic: [u8; 8]) -> Result<Option<Vec<u8>>, OpenError> {
    read_any(disk, path, Some(magic))
}

/// Checks a small file of whatever kind.
///
/// # Errors
/// As [`read`].
pub fn check(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    read_any(disk, path, None).map(drop)
}

fn read_any(disk: &dyn Disk, path: &Path, magic: Option<[u8; 8]>) -> Result<Option<Vec<u8>>, OpenError> {
    let io = |error| OpenError::Io { what: "read", path: path.to_owned(), error };
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let length = file.len().map_err(io)?;
    if length > BODY_BYTES_MAX {
        return Err(OpenError::DamagedFile { path: path.to_owned(), what: "far too long" });
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    match decode(magic, &bytes) {
        Ok(body) => Ok(Some(body.to_vec())),
        Err(what) => Err(OpenError::DamagedFile { path: path.to_owned(), what }),
    }
}

/// Where [`replace`] writes before it renames; such a file is never read and may always be removed.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn encode(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc(&out, body).to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn crc(head: &[u8], body: &[u8]) -> u32 {
    let mut covered = head.to_vec();
    covered.extend_from_slice(body);
    crc32c(&covered)
}

fn decode(magic: Option<[u8; 8]>, bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (head, rest) = bytes.split_at_checked(12).ok_or("too short")?;
    let (stored, body) = rest.split_at_checked(4).ok_or("too short")?;
    if magic.is_some_and(|magic| head[..8] != magic) {
        return Err("not the kind of file its name says");
    }
    if head[8..] != (body.len() as u32).to_le_bytes() {
        return Err("its length is not the one written");
    }
    if stored != crc(head, body).to_le_bytes() {
        return Err("its checksum does not match");
    }
    Ok(body)
}
