//! One simulated file: what a reader sees now, what would survive, and what lies between.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk writes a sector whole or not at all.
pub const SECTOR_BYTES: u64 = 512;
/// The kernel writes mapped memory back in pages of this size.
pub const PAGE_BYTES: u64 = 4096;

/// Directories and handles share it; it goes when the last of them lets go, as on a real disk.
pub(super) struct Inode {
    body: Mutex<Body>,
}

impl Inode {
    pub(super) fn new(used: Arc<AtomicU64>) -> Arc<Inode> {
        let body = Body {
            cached: Vec::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            bad_sectors: BTreeSet::new(),
            locked_in: None,
            held: 0,
            used,
        };
        Arc::new(Inode { body: Mutex::new(body) })
    }

    pub(super) fn body(&self) -> MutexGuard<'_, Body> {
        // A panic elsewhere (a failed assertion of a test) leaves nothing half done here.
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Body {
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What was done since the last sync, in order. Durable content plus these is the cached content,
    /// unless a sync failed in between.
    pending: Vec<Pending>,
    /// Numbers of sectors that cannot be read until they are written again.
    pub(super) bad_sectors: BTreeSet<u64>,
    /// The life of the process that holds the advisory lock.
    pub(super) locked_in: Option<u64>,
    /// Bytes that nobody else can have: no file system gives away what a power loss may bring back.
    pub(super) held: u64,
    /// That of all files of the disk.
    used: Arc<AtomicU64>,
}

enum Pending {
    Write {
        position: u64,
        content: Content,
    },
    SetLen(u64),
    /// A store to mapped memory: written back by page, at a moment of the kernel's choosing.
    Mapped {
        position: u64,
        bytes: Vec<u8>,
    },
}

enum Content {
    Bytes(Vec<u8>),
    Zeros(u64),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(len) => *len,
        }
    }

    fn apply_all(&self, target: &mut Vec<u8>, position: u64) {
        self.apply(target, position, 0, self.len());
    }

    /// Copies `from..to` of this to the same place behind `position` of `target`, extending it.
    fn apply(&self, target: &mut Vec<u8>, position: u64, from: u64, to: u64) {
        let (start, end) = ((position + from) as usize, (position + to) as usize);
        if target.len() < end {
            target.resize(end, 0);
        }
        match self {
            Content::Bytes(bytes) => target[start..end].copy_from_slice(&bytes[from as usize..to as usize]),
            Content::Zeros(_) => target[start..end].fill(0),
        }
    }
}

/// What a power loss did to one unsynced operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Survived,
    Lost,
    Torn,
}

pub(super) struct Settled {
    pub(super) position: u64,
    pub(super) length: u64,
    pub(super) fate: Fate,
}

impl Body {
    pub(super) fn read(&self, buf: &mut [u8], position: u64) -> usize {
        let start = (position.min(self.cached.len() as u64)) as usize;
        let count = buf.len().min(self.cached.len() - start);
        buf[..count].copy_from_slice(&self.cached[start..start + count]);
        count
    }

    pub(super) fn tamper(&mut self, bytes: Vec<u8>) {
        self.pending.clear();
        self.durable.clone_from(&bytes);
        self.cached = bytes;
        self.settle();
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        self.write_content(position, Content::Bytes(bytes.to_vec()));
    }

    /// Extends the file to `len` with zeros that are written, not merely implied.
    pub(super) fn allocate(&mut self, len: u64) {
        let end = self.cached.len() as u64;
        if len > end {
            self.write_content(end, Content::Zeros(len - end));
        }
    }

    fn write_content(&mut self, position: u64, content: Content) {
        let length = content.len();
        if length == 0 {
            return;
        }
        content.apply(&mut self.cached, position, 0, length);
        self.hold(self.held.max(self.cached.len() as u64));
        self.heal_sectors(position, length);
        self.pending.push(Pending::Write { position, content });
    }

    /// Within the file only: a map never grows it, and what was mapped past a later end is gone.
    pub(super) fn write_mapped(&mut self, position: u64, bytes: &[u8]) {
        let Some(target) = self.cached.get_mut(position as usize..position as usize + bytes.len()) else { return };
        target.copy_from_slice(bytes);
        self.pending.push(Pending::Mapped { position, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.cached.resize(len as usize, 0);
        self.hold(self.held.max(len));
        self.bad_sectors.retain(|sector| sector * SECTOR_BYTES < len);
        self.pending.push(Pending::SetLen(len));
    }

    pub(super) fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Write { position, content } => content.apply_all(&mut self.durable, position),
                Pending::SetLen(len) => self.durable.resize(len as usize, 0),
                Pending::Mapped { position, bytes } => Content::Bytes(bytes).apply_all(&mut self.durable, position),
            }
        }
        self.settle();
    }

    /// After a failed sync the kernel marks the pages clean: they stay readable, nothing will ever
    /// write them, and the next sync has nothing to complain about.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
        self.settle();
    }

    /// The power goes: each pending operation survives, vanishes or tears, independently of the
    /// others, and what is left is all there is.
    pub(super) fn power_loss(&mut self, rng: &mut ChaCha12Rng) -> Vec<Settled> {
        let mut settled = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        let mut pages = Pages::draw(&pending, rng);
        for operation in &pending {
            match operation {
                Pending::Write { position, content } => {
                    let fate = self.settle_write(*position, content, rng);
                    settled.push(Settled { position: *position, length: content.len(), fate });
                }
                Pending::SetLen(len) => {
                    let fate = if rng.random_bool(0.5) { Fate::Survived } else { Fate::Lost };
                    if fate == Fate::Survived {
                        self.durable.resize(*len as usize, 0);
                    }
                    settled.push(Settled { position: *len, length: 0, fate });
                }
                Pending::Mapped { position, bytes } => pages.write_back(&mut self.durable, *position, bytes),
            }
        }
        settled.extend(pages.settled());
        self.cached.clone_from(&self.durable);
        self.settle();
        settled
    }

    fn settle_write(&mut self, position: u64, content: &Content, rng: &mut ChaCha12Rng) -> Fate {
        let end = position + content.len();
        let sectors = position / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        let kept = Kept::draw(sectors.end - sectors.start, rng);
        for (nth, sector) in sectors.enumerate() {
            if kept.keeps(nth as u64) {
                let from = (sector * SECTOR_BYTES).max(position) - position;
                let to = ((sector + 1) * SECTOR_BYTES).min(end) - position;
                content.apply(&mut self.durable, position, from, to);
            }
        }
        kept.fate()
    }

    pub(super) fn is_pending(&self, byte: u64) -> bool {
        let covers = |position: u64, length: u64| (position..position + length).contains(&byte);
        self.pending.iter().any(|pending| match pending {
            Pending::Write { position, content } => covers(*position, content.len()),
            Pending::Mapped { position, bytes } => covers(*position, bytes.len() as u64),
            Pending::SetLen(len) => byte >= *len,
        })
    }

    /// Changes a durable byte. What the page cache holds dirty it does not read back from the disk.
    pub(super) fn corrupt(&mut self, byte: u64, xor: u8) -> bool {
        let dirty = self.is_pending(byte);
        let Some(durable) = self.durable.get_mut(byte as usize) else { return false };
        *durable ^= xor;
        let value = *durable;
        if !dirty && let Some(cached) = self.cached.get_mut(byte as usize) {
            *cached = value;
        }
        true
    }

    /// Flips a bit of a synced byte: the first from a random place on that is not zero, since rot in
    /// room that was only written ahead harms nobody. Returns where.
    pub(super) fn rot(&mut self, rng: &mut ChaCha12Rng) -> Option<u64> {
        let len = self.durable.len() as u64;
        if len == 0 {
            return None;
        }
        let start = rng.random_range(0..len);
        let around = (start..len).chain(0..start);
        let byte = around.clone().find(|byte| self.durable[*byte as usize] != 0 && !self.is_pending(*byte));
        let byte = byte.or_else(|| around.clone().find(|byte| !self.is_pending(*byte)))?;
        self.corrupt(byte, 1 << rng.random_range(0..8u32));
        Some(byte)
    }

    /// The first sector of the range that cannot be read.
    pub(super) fn bad_sector_in(&self, position: u64, length: u64) -> Option<u64> {
        let end = (position + length).min(self.cached.len() as u64);
        (position < end)
            .then(|| self.bad_sectors.range(position / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)).next().copied())
            .flatten()
    }

    /// A sector is sound again once it was written from end to end (or to the end of the file).
    fn heal_sectors(&mut self, position: u64, length: u64) {
        if self.bad_sectors.is_empty() {
            return;
        }
        let (end, file_end) = (position + length, self.cached.len() as u64);
        self.bad_sectors.retain(|sector| {
            let first = sector * SECTOR_BYTES;
            let last = (first + SECTOR_BYTES).min(file_end);
            !(position <= first && last <= end)
        });
    }

    /// Nothing is pending any more.
    fn settle(&mut self) {
        self.hold(self.cached.len().max(self.durable.len()) as u64);
    }

    fn hold(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.held, bytes);
        if bytes >= before {
            self.used.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// Which sectors of one write reached the disk.
enum Kept {
    All,
    None,
    Prefix(u64),
    Some(Vec<bool>),
}

impl Kept {
    fn draw(sectors: u64, rng: &mut ChaCha12Rng) -> Kept {
        match rng.random_range(0..4u32) {
            0 => Kept::All,
            1 => Kept::None,
            _ if sectors < 2 && rng.random_bool(0.5) => Kept::All,
            _ if sectors < 2 => Kept::None,
            2 => Kept::Prefix(rng.random_range(1..sectors)),
            _ => Kept::Some((0..sectors).map(|_| rng.random_bool(0.5)).collect()),
        }
    }

    fn keeps(&self, sector: u64) -> bool {
        match self {
            Kept::All => true,
            Kept::None => false,
            Kept::Prefix(sectors) => sector < *sectors,
            Kept::Some(kept) => kept[sector as usize],
        }
    }

    fn fate(&self) -> Fate {
        match self {
            Kept::All => Fate::Survived,
            Kept::None => Fate::Lost,
            Kept::Some(kept) if kept.iter().all(|kept| *kept) => Fate::Survived,
            Kept::Some(kept) if !kept.contains(&true) => Fate::Lost,
            Kept::Prefix(_) | Kept::Some(_) => Fate::Torn,
        }
    }
}

/// The fate of the mapped pages that are dirty.
struct Pages(BTreeMap<u64, Page>);

struct Page {
    /// Stores to the page so far, of those made.
    seen: u64,
    /// The kernel wrote the page back after so many stores, on its own; the later ones are lost.
    written_back_after: u64,
    stores: u64,
    kept: Kept,
}

impl Pages {
    fn draw(pending: &[Pending], rng: &mut ChaCha12Rng) -> Pages {
        let mut stores: BTreeMap<u64, u64> = BTreeMap::new();
        for operation in pending {
            if let Pending::Mapped { position, bytes } = operation {
                for page in pages_of(*position, bytes.len() as u64) {
                    *stores.entry(page).or_default() += 1;
                }
            }
        }
        let draw = |(page, stores): (u64, u64)| {
            let kept = Kept::draw(PAGE_BYTES / SECTOR_BYTES, rng);
            let written_back_after = if rng.random_bool(0.5) { stores } else { rng.random_range(0..=stores) };
            (page, Page { seen: 0, written_back_after, stores, kept })
        };
        Pages(stores.into_iter().map(draw).collect())
    }

    /// A page past the durable end of the file is not part of it.
    fn write_back(&mut self, durable: &mut [u8], position: u64, bytes: &[u8]) {
        for page_number in pages_of(position, bytes.len() as u64) {
            let page = self.0.get_mut(&page_number).expect("drawn for every mapped store");
            page.seen += 1;
            if page.seen > page.written_back_after {
                continue;
            }
            for nth in 0..PAGE_BYTES / SECTOR_BYTES {
                let first = page_number * PAGE_BYTES + nth * SECTOR_BYTES;
                let from = first.max(position);
                let to = (first + SECTOR_BYTES).min(position + bytes.len() as u64).min(durable.len() as u64);
                if from < to && page.kept.keeps(nth) {
                    let source = &bytes[(from - position) as usize..(to - position) as usize];
                    durable[from as usize..to as usize].copy_from_slice(source);
                }
            }
        }
    }

    fn settled(&self) -> impl Iterator<Item = Settled> {
        self.0.iter().map(|(number, page)| {
            let fate = match page.kept.fate() {
                Fate::Survived if page.written_back_after < page.stores => Fate::Lost,
                fate => fate,
            };
            Settled { position: number * PAGE_BYTES, length: PAGE_BYTES, fate }
        })
    }
}

fn pages_of(position: u64, length: u64) -> std::ops::Range<u64> {
    position / PAGE_BYTES..(position + length).div_ceil(PAGE_BYTES)
}
