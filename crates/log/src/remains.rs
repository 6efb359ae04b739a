//! What a damaged log has, and what it lacks.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::entry::{Entry, EntryId};
use crate::error::OpenError;
use crate::layout::StoreHeader;
use crate::purge::Start;
use crate::salvage::{Outline, Salvage, read_what_can_be};
use crate::segment::{STATE_MAGIC, parse_name, path, read_store_header};
use crate::small_file;
use bytes::Bytes;
use seedlog_runtime::disk::{Disk, OpenMode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Entries that the log had and cannot show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub from: u64,
    /// Not, itself, missing.
    pub to: u64,
    /// The entry before it, if the log has that one.
    pub before: Option<EntryId>,
    /// An entry at or after `to - 1` that the log had. By log matching, a log that has it has the same entries before
    /// it, too, committed or not.
    pub then: Option<EntryId>,
}

/// What a damaged log needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lacking {
    /// In the log's order.
    pub missing: Vec<Missing>,
    /// All entries up to here are committed.
    pub committed: Option<u64>,
    /// Index after the last entry that it had for certain.
    pub end: u64,
    /// The newest membership that is left, as its entry has it; empty if none is.
    pub membership: Bytes,
    /// It cannot be seen where the log ended. Who lets go of what is missing has no last entry to name.
    pub end_unknown: bool,
    /// Nor ever will be: its newest store is gone, or is no store any more. Otherwise it could not be read.
    pub end_lost: bool,
    /// Files are to be put right although no entry is missing.
    pub ailing: bool,
}

/// A segment, by what is left of it. Its entries are not kept: a log is larger than memory.
pub(crate) struct Part {
    pub first_index: u64,
    pub header: Option<StoreHeader>,
    /// The store's header could not be read, whatever it is.
    pub header_unread: bool,
    pub state: Option<Checkpoint>,
    /// The file is there and says nothing.
    pub state_damaged: bool,
    pub left: Outline,
}

impl Part {
    pub fn take(disk: &dyn Disk, dir: &Path, first_index: u64) -> Result<Part, OpenError> {
        let (mut state, mut state_damaged) = (None, false);
        match small_file::read(disk, &path(dir, first_index, "state"), STATE_MAGIC) {
            Ok(None) => {}
            Ok(Some(body)) => {
                state = Checkpoint::decode(&body).ok().filter(|state| state.next_index() == first_index);
                state_damaged = state.is_none();
            }
            Err(_) => state_damaged = true,
        }
        if first_index == 0 {
            state.get_or_insert_default();
        }
        let header = read_store_header(disk, &path(dir, first_index, "store"), first_index);
        let header_unread =
            matches!(&header, Err(OpenError::Io { error, .. }) if error.kind() != io::ErrorKind::NotFound);
        let header = header.ok();
        let mut part = Part { first_index, header, header_unread, state, state_damaged, left: Outline::default() };
        let (left, unreadable) = part.salvage(disk, dir)?;
        part.left = Outline::of(&left, unreadable);
        Ok(part)
    }

    /// All that is left of the store, and whether some of it could not be read.
    pub fn salvage(&self, disk: &dyn Disk, dir: &Path) -> Result<(Salvage, bool), OpenError> {
        let Some(header) = self.header else { return Ok((Salvage::default(), false)) };
        let store = path(dir, self.first_index, "store");
        let io = |error| OpenError::Io { what: "read", path: store.clone(), error };
        let file = disk.open(&store, OpenMode::Read).map_err(io)?;
        let (bytes, unreadable) = read_what_can_be(&*file).map_err(io)?;
        Ok((Salvage::of(&bytes, header.salt, self.first_index), unreadable))
    }

    pub fn is_sound(&self) -> bool {
        self.header.is_some() && !self.left.unreadable && !self.left.broken
    }

    /// The first entry from `first_index` on that is not there.
    pub fn sound_to(&self) -> u64 {
        self.left.sound_from(self.first_index)
    }
}

/// The segments of a damaged log.
pub(crate) struct Remains {
    pub parts: Vec<Part>,
    pub committed: Option<u64>,
    /// Index after the last entry; of the newest part, what had been synced for certain, and what is whole behind that.
    pub end: u64,
    pub end_unknown: bool,
    pub end_lost: bool,
}

impl Remains {
    pub fn take(disk: &dyn Disk, dir: &Path, config: &Config) -> Result<Remains, OpenError> {
        let start = Start::read(disk, dir)?;
        if start.as_ref().is_some_and(|start| start.installing) {
            return Err(OpenError::DamagedFile { path: dir.join("start"), what: "it has still to be carried out" });
        }
        let first_index = start.as_ref().map_or(0, |start| start.first_index);
        let mut indexes = BTreeSet::from([first_index]);
        let names = disk.list(dir).map_err(|error| OpenError::Io { what: "list", path: dir.to_owned(), error })?;
        for name in &names {
            match parse_name(name) {
                // An index says nothing.
                Some((index, "store" | "state")) if index >= first_index => drop(indexes.insert(index)),
                _ => {}
            }
        }
        let mut parts = Vec::new();
        for index in indexes {
            let part = Part::take(disk, dir, index)?;
            if let Some(header) = part.header {
                config.owner.check_owner(&path(dir, index, "store"), header.owner)?;
            }
            parts.push(part);
        }
        if let Some(before) = start.and_then(|start| start.before) {
            // It is held twice.
            parts[0].state_damaged |= parts[0].state.as_ref() != Some(&before);
            parts[0].state = Some(before);
        }
        if parts[0].state.is_none() {
            let path = path(dir, first_index, "state");
            return Err(OpenError::DamagedFile { path, what: "it is lost, and what was before it was trimmed" });
        }
        let states = parts.iter().filter_map(|part| part.state.as_ref());
        let purged = states.clone().next().and_then(|state| state.last).map(|last| last.index);
        let committed = parts.iter().map(|part| part.left.committed).max().flatten().max(purged);
        let newest = parts.last().expect("there is a first one");
        let synced_to = newest.left.newest_batch.unwrap_or(newest.first_index);
        let settled_to = synced_to.max(committed.map_or(0, |index| index + 1)).max(newest.first_index);
        let end = newest.left.sound_from(settled_to);
        // Where a batch cannot be read, it cannot be said that there was none.
        let end_unknown = newest.header.is_none() || newest.left.unreadable;
        let end_lost = newest.header.is_none() && !newest.header_unread;
        Ok(Remains { committed, end, end_unknown, end_lost, parts })
    }

    /// Index after the last entry of a part.
    pub fn end_of(&self, at: usize) -> u64 {
        self.parts.get(at + 1).map_or(self.end, |next| next.first_index)
    }

    fn missing(&self) -> Vec<Missing> {
        missing_of(self.parts.iter().enumerate().map(|(at, part)| (part, self.end_of(at))))
    }

    fn lacking(&self) -> Lacking {
        let missing = self.missing();
        let ailing = self.parts.iter().any(|part| part.state_damaged || !part.is_sound());
        Lacking {
            ailing: ailing || !missing.is_empty(),
            missing,
            committed: self.committed,
            end: self.end,
            membership: self.membership(),
            end_unknown: self.end_unknown,
            end_lost: self.end_lost,
        }
    }

    fn membership(&self) -> Bytes {
        let mut newest = Bytes::new();
        for part in &self.parts {
            newest = part.state.as_ref().map_or(newest, |state| state.membership.clone());
            newest = part.left.membership.clone().unwrap_or(newest);
        }
        newest
    }
}

/// Entries that segments which follow each other lack, each up to its end.
pub(crate) fn missing_of<'a>(parts: impl Iterator<Item = (&'a Part, u64)>) -> Vec<Missing> {
    let mut missing: Vec<Missing> = Vec::new();
    let mut ids: BTreeMap<u64, EntryId> = BTreeMap::new();
    let mut log_end = 0;
    for (part, end) in parts {
        ids.extend(part.state.iter().filter_map(|state| state.last).map(|last| (last.index, last)));
        ids.extend(part.left.lost.iter().map(|id| (id.index, *id)));
        let mut next = part.first_index;
        for run in part.left.runs.iter().filter(|run| run.first.index < end) {
            ids.extend([run.first, run.last].map(|id| (id.index, id)));
            if run.first.index > next {
                note(&mut missing, next, run.first.index);
            }
            next = (run.last.index + 1).min(end);
        }
        if end > next {
            note(&mut missing, next, end);
        }
        log_end = end;
    }
    for gap in &mut missing {
        gap.before = ids.range(..gap.from).next_back().map(|(_, id)| *id).filter(|id| id.index + 1 == gap.from);
        gap.then = ids.range(gap.to - 1..log_end.max(gap.to)).next().map(|(_, id)| *id);
    }
    missing
}

fn note(missing: &mut Vec<Missing>, from: u64, to: u64) {
    match missing.last_mut() {
        Some(last) if last.to == from => last.to = to,
        _ => missing.push(Missing { from, to, before: None, then: None }),
    }
}

/// Says what a log that does not open is lacking. Changes nothing.
///
/// # Errors
/// What cannot be repaired: the file `start`, or another node's files.
pub fn diagnose(disk: &dyn Disk, dir: &Path, config: &Config) -> Result<Lacking, OpenError> {
    Ok(Remains::take(disk, dir, config)?.lacking())
}

/// What a damaged log can still give to others who lack entries of it. Small: entries are read when they are asked for.
pub struct Lender {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    remains: Remains,
}

impl Lender {
    /// # Errors
    /// As [`diagnose`].
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, config: &Config) -> Result<Lender, OpenError> {
        let remains = Remains::take(&*disk, dir, config)?;
        Ok(Lender { disk, dir: dir.to_owned(), remains })
    }

    /// What it lacked when it was looked through.
    pub fn lacking(&self) -> Lacking {
        self.remains.lacking()
    }

    /// All entries up to here are committed.
    pub fn committed(&self) -> Option<u64> {
        self.remains.committed
    }

    /// The fold before the log's first entry.
    pub fn first_checkpoint(&self) -> Checkpoint {
        self.remains.parts[0].state.clone().unwrap_or_default()
    }

    /// The sound entries from `from` on, up to the first that is not, or the end of its segment; fewer than up to `to`,
    /// but at least one, where their payloads are larger than `bytes_max` together.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn entries(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, OpenError> {
        let Some(part) = self.remains.parts.iter().rfind(|part| part.first_index <= from) else {
            return Ok(Vec::new());
        };
        let to = part.left.sound_from(from).min(to);
        let (left, _) = part.salvage(&*self.disk, &self.dir)?;
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (_, frame) in left.frames.range(from..to.max(from)) {
            bytes += frame.payload.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(frame.clone().into_entry());
        }
        Ok(entries)
    }
}
