//! Files, maps and locks of a simulated disk. All of them die with the process that opened them.

use super::engine::{Call, Engine, State, eio, enospc, happens};
use super::fault::FaultKind;
use super::inode::{Body, Inode, SECTOR_BYTES};
use crate::disk::{File, Lock, Map};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a handle holds on to: which disk, which file, which life of the process.
pub(super) struct Handle {
    pub(super) engine: Arc<Engine>,
    pub(super) inode: Arc<Inode>,
    pub(super) path: PathBuf,
    pub(super) life: u64,
}

pub(super) struct SimFile {
    pub(super) handle: Handle,
    pub(super) writable: bool,
}

impl SimFile {
    /// EBADF, as for any descriptor not opened for writing.
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let Handle { engine, inode, path, life } = &self.handle;
        engine.query(Call::new("read", path), Some(*life), |state| {
            let mut body = inode.body();
            let length = (body.cached.len() as u64).saturating_sub(position).min(buf.len() as u64);
            if length > 0 {
                read_faults(state, &mut body, path, position, length)?;
            }
            Ok(body.read(buf, position))
        })
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<usize> {
        let Handle { engine, inode, path, life } = &self.handle;
        let call = Call { position, length: buf.len() as u64, content: buf, ..Call::new("write", path) };
        let written = engine.mutate(call, Some(*life), |state, part| {
            self.check_writable()?;
            let mut body = inode.body();
            let length = buf.len() as u64;
            if length == 0 {
                return Ok(0);
            }
            if state.hit(FaultKind::WriteError, path, position, length) {
                return Err(eio());
            }
            let mut count = room(state, &body, path, position, length)?;
            if let Some(rng) = part {
                count = rng.random_range(0..=count);
            } else if count == length && length > 1 {
                let short = |rng: &mut ChaCha12Rng| rng.random_range(1..length);
                count = state.hit_with(FaultKind::ShortWrite, path, position, length, short).unwrap_or(count);
            }
            let landing = misdirect(state, &body, path, position, count).unwrap_or(position);
            body.write(landing, &buf[..count as usize]);
            Ok(count)
        })?;
        Ok(written as usize)
    }

    fn sync_data(&self) -> io::Result<()> {
        sync(&self.handle, "sync")
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Handle { engine, inode, path, life } = &self.handle;
        let call = Call { position: len, ..Call::new("set length of", path) };
        engine.mutate(call, Some(*life), |state, part| {
            self.check_writable()?;
            let mut body = inode.body();
            if state.hit(FaultKind::WriteError, path, len, 0) {
                return Err(eio());
            }
            if len > body.cached.len() as u64 {
                // A hole takes no room on a real disk; that a real one runs full later, when the
                // hole is filled, nothing here depends on.
                let grows = len - body.cached.len() as u64;
                if room(state, &body, path, body.cached.len() as u64, grows)? < grows {
                    return Err(enospc());
                }
            }
            if happens(part) {
                if len < body.cached.len() as u64 {
                    state.shortened();
                }
                body.set_len(len);
            }
            Ok(0)
        })?;
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let Handle { engine, inode, path, life } = &self.handle;
        let call = Call { position: len, ..Call::new("write", path) };
        engine.mutate(call, Some(*life), |state, part| {
            self.check_writable()?;
            let mut body = inode.body();
            let end = body.cached.len() as u64;
            if len <= end {
                return Ok(0);
            }
            if state.hit(FaultKind::WriteError, path, end, len - end) {
                return Err(eio());
            }
            let wanted = len - end;
            let mut count = room(state, &body, path, end, wanted)?;
            let full = count < wanted;
            if let Some(rng) = part {
                count = rng.random_range(0..=count);
            }
            body.allocate(end + count);
            if full { Err(enospc()) } else { Ok(count) }
        })?;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let Handle { engine, inode, path, life } = &self.handle;
        engine.query(Call::new("length of", path), Some(*life), |_| Ok(inode.body().cached.len() as u64))
    }
}

fn read_faults(state: &mut State, body: &mut Body, path: &Path, position: u64, length: u64) -> io::Result<()> {
    if state.hit(FaultKind::ReadError, path, position, length) {
        return Err(eio());
    }
    let sectors = position / SECTOR_BYTES..(position + length).div_ceil(SECTOR_BYTES);
    let pick = |rng: &mut ChaCha12Rng| rng.random_range(sectors);
    if let Some(sector) = state.hit_with(FaultKind::LatentSector, path, position, length, pick) {
        body.bad_sectors.insert(sector);
    }
    if body.bad_sector_in(position, length).is_some() { Err(eio()) } else { Ok(()) }
}

/// How much of a write there is room for; what does not grow the file always fits.
fn room(state: &mut State, body: &Body, path: &Path, position: u64, length: u64) -> io::Result<u64> {
    let fits_up_to = body.held.saturating_add(state.free_bytes());
    let count = fits_up_to.saturating_sub(position).min(length);
    if count < length {
        state.count("no_space", path, position, length);
    }
    if count == 0 { Err(enospc()) } else { Ok(count) }
}

/// Where a misdirected write lands, if one is due and the file is large enough for another place.
fn misdirect(state: &mut State, body: &Body, path: &Path, position: u64, count: u64) -> Option<u64> {
    let last = (body.cached.len() as u64).checked_sub(count)?;
    let first = position % SECTOR_BYTES;
    let places = if first <= last { (last - first) / SECTOR_BYTES + 1 } else { 0 };
    let own = position / SECTOR_BYTES;
    let others = if own < places { places - 1 } else { places };
    if count == 0 || others == 0 {
        return None;
    }
    let pick = |rng: &mut ChaCha12Rng| {
        let place = rng.random_range(0..others);
        let place = if own < places && place >= own { place + 1 } else { place };
        first + place * SECTOR_BYTES
    };
    state.hit_with(FaultKind::MisdirectedWrite, path, position, count, pick)
}

/// One file, one sync: written and mapped bytes alike, and the length.
fn sync(handle: &Handle, operation: &'static str) -> io::Result<()> {
    let Handle { engine, inode, path, life } = handle;
    engine.mutate(Call::new(operation, path), Some(*life), |state, part| {
        let mut body = inode.body();
        if part.is_some() {
            // What it got done is what the power loss, if it is one, lets survive of what is unsynced.
            return Ok(0);
        }
        if state.hit(FaultKind::SyncError, path, 0, 0) {
            body.forget_pending();
            return Err(eio());
        }
        body.sync();
        if !body.durable.is_empty()
            && let Some(rng) = state.faults.hit(FaultKind::BitRot, path)
        {
            let byte = body.rot(rng).expect("something is durable and nothing is pending");
            state.count(FaultKind::BitRot.name(), path, byte, 1);
        }
        Ok(0)
    })?;
    Ok(())
}

pub(super) struct SimMap {
    pub(super) handle: Handle,
    pub(super) len: usize,
}

impl SimMap {
    fn check_inside(&self, position: usize, len: usize) {
        let inside = position.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes at {position} of a map of {} bytes: {}", self.len, self.handle.path.display());
    }
}

/// Memory cannot answer with an error: a store of a dead process is dropped, and a bad sector is read
/// as if it were sound (on a real disk it kills the process).
impl Map for SimMap {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, position: usize, buf: &mut [u8]) {
        self.check_inside(position, buf.len());
        let count = self.handle.inode.body().read(buf, position as u64);
        buf[count..].fill(0);
    }

    fn write(&self, position: usize, bytes: &[u8]) {
        self.check_inside(position, bytes.len());
        let Handle { engine, inode, path, life } = &self.handle;
        let position = position as u64;
        let call = Call { position, length: bytes.len() as u64, content: bytes, ..Call::new("write map of", path) };
        // Errs only for a process that is dead, or dies here.
        let _ = engine.mutate(call, Some(*life), |_, part| {
            let count = part.map_or(bytes.len(), |rng| rng.random_range(0..=bytes.len()));
            inode.body().write_mapped(position, &bytes[..count]);
            Ok(count as u64)
        });
    }

    fn flush(&self) -> io::Result<()> {
        sync(&self.handle, "sync map of")
    }
}

pub(super) struct SimLock {
    pub(super) inode: Arc<Inode>,
    pub(super) life: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut body = self.inode.body();
        // A guard of a dead process must not open the lock of the one that lives.
        if body.locked_in == Some(self.life) {
            body.locked_in = None;
        }
    }
}
