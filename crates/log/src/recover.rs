//! Opening a log: what is there is checked, a torn tail is cut, damage is refused.
//!
//! Nothing is changed on the disk before all checks have passed. At the end the last batch is written
//! again and synced: after kill -9 it may have been in the page cache only, and after a failed sync the
//! page cache may show what the disk never got.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::entry::EntryId;
use crate::error::{Damage, OpenError};
use crate::layout::StoreHeader;
use crate::purge::{Start, start_anew};
use crate::reader::{Reader, Shared};
use crate::scan::{Scan, read_whole, scan};
use crate::segment::{STATE_MAGIC, Segment, parse_name, path, read_store_header, write_state};
use crate::small_file;
use crate::suspect;
use crate::writer::Writer;
use bytes::Bytes;
use seedlog_runtime::disk::Disk;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Opened {
    pub writer: Writer,
    pub reader: Reader,
    pub recovered: Recovered,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The entry before the first one kept.
    pub last_purged: Option<EntryId>,
    /// The last entry, durable by now; the last purged one if there is none behind it.
    pub last: Option<EntryId>,
    /// The newest entry known to be committed; never past `last`.
    pub committed: Option<EntryId>,
    /// The newest one at or below `committed`: where the applied fold starts again.
    pub checkpoint: Checkpoint,
    pub torn: Option<Torn>,
}

/// A tail that was being written when the process or the power went, and was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    pub file: PathBuf,
    pub position: u64,
    pub what: &'static str,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torn tail cut at byte {} of {}: {}", self.position, self.file.display(), self.what)
    }
}

/// Opens the log in `dir`, or starts one there.
///
/// # Errors
/// [`OpenError::Damaged`] and [`OpenError::DamagedFile`] if synced bytes are not what was written: then
/// nothing has been changed. [`OpenError::Lost`] without [`Config::create`]. [`OpenError::Io`] names the file.
pub fn open(disk: Arc<dyn Disk>, dir: &Path, config: Config) -> Result<Opened, OpenError> {
    let io = |what| move |error| OpenError::Io { what, path: dir.to_owned(), error };
    if !config.create && !disk.exists(dir).map_err(io("look for"))? {
        return Err(OpenError::Lost { path: dir.to_owned() });
    }
    disk.create_dir_all(dir).map_err(io("create"))?;
    let survey = Survey::take(&*disk, dir)?;
    for found in &survey.segments {
        config.owner.check_owner(&path(dir, found.header.first_index, "store"), found.header.owner)?;
    }
    if let Some(Start { installing: true, before: Some(checkpoint), .. }) = &survey.start {
        start_anew(&*disk, dir, checkpoint, &config).map_err(io("start the log anew in"))?;
        return open(disk, dir, config);
    }
    if survey.segments.is_empty() {
        if !config.create {
            return Err(OpenError::Lost { path: dir.to_owned() });
        }
        Segment::create(&*disk, dir, &Checkpoint::default(), &config, config.index_rows_max)
            .map_err(io("open the first segment in"))?;
        return open(disk, dir, config);
    }
    let suspect = suspect::read(&*disk, dir);
    let checked = survey.check(&*disk, dir, config.start_check_bytes_max, suspect)?;
    let opened = checked.mend(disk.clone(), dir, config, survey.leftovers)?;
    if suspect.is_some() {
        suspect::clear(&*disk, dir).map_err(io("clear what is suspected in"))?;
    }
    Ok(opened)
}

/// The files of a log, by what their names say.
pub(crate) struct Survey {
    pub start: Option<Start>,
    pub segments: Vec<Found>,
    /// What an interrupted purge or replacement left; may always be removed.
    pub leftovers: Vec<PathBuf>,
}

pub(crate) struct Found {
    pub header: StoreHeader,
    /// `None` if it is missing: a crash came between the store and its state.
    pub state: Option<Checkpoint>,
}

impl Survey {
    pub fn take(disk: &dyn Disk, dir: &Path) -> Result<Survey, OpenError> {
        let start = Start::read(disk, dir)?;
        let first_index = start.as_ref().map_or(0, |start| start.first_index);
        let installing = start.as_ref().is_some_and(|start| start.installing);
        let mut files: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut leftovers = Vec::new();
        for name in disk.list(dir).map_err(|error| OpenError::Io { what: "list", path: dir.to_owned(), error })? {
            match parse_name(&name) {
                Some((index, _)) if index < first_index || installing => leftovers.push(dir.join(name)),
                Some((index, extension)) => files.entry(index).or_default().push(extension.to_owned()),
                None if name.ends_with(".tmp") => leftovers.push(dir.join(name)),
                None => {}
            }
        }
        let mut segments = Vec::new();
        for (index, extensions) in files {
            let has = |extension: &str| extensions.iter().any(|e| e == extension);
            let state_path = path(dir, index, "state");
            if !has("store") {
                if has("state") {
                    let path = path(dir, index, "store");
                    return Err(OpenError::DamagedFile { path, what: "the store is missing, its state is there" });
                }
                // An index without a store says nothing.
                leftovers.push(path(dir, index, "index"));
                continue;
            }
            let header = read_store_header(disk, &path(dir, index, "store"), index)?;
            let damaged = || OpenError::DamagedFile { path: state_path.clone(), what: "it does not decode" };
            let state = match small_file::read(disk, &state_path, STATE_MAGIC)? {
                Some(body) => Some(Checkpoint::decode(&body).map_err(|_| damaged())?),
                None => None,
            };
            if state.as_ref().is_some_and(|state| state.next_index() != index) {
                return Err(OpenError::DamagedFile { path: state_path, what: "it is another segment's state" });
            }
            segments.push(Found { header, state });
        }
        match (segments.first(), &start) {
            (Some(first), _) if first.header.first_index == first_index => {}
            (None, None) => {}
            (None, Some(_)) if installing => {}
            _ => {
                let path = path(dir, first_index, "store");
                return Err(OpenError::DamagedFile { path, what: "the log's first store is missing" });
            }
        }
        Ok(Survey { start, segments, leftovers })
    }

    /// The fold before the first entry, where that was noted.
    pub fn before_first(&self) -> Option<Checkpoint> {
        let kept = self.start.as_ref().and_then(|start| start.before.clone());
        kept.or_else(|| self.segments.first()?.state.clone())
    }

    /// Checks the newest segments up to `bytes_max`, always the last one, what a missing state is computed
    /// from, and the one with the last entry known to be committed, with all behind it; and all from the one on that has
    /// entry `suspect`.
    pub fn check(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        bytes_max: u64,
        suspect: Option<u64>,
    ) -> Result<Checked, OpenError> {
        let mut first = self.first_to_scan(disk, dir, bytes_max)?;
        if let Some(suspect) = suspect {
            let after = self.segments.partition_point(|found| found.header.first_index <= suspect);
            first = first.min(after.saturating_sub(1));
        }
        let checked = self.check_from(disk, dir, first)?;
        // Mending reads that entry, and the fold all behind it: its damage must show here, where nothing
        // has been changed yet. A state names the entry before it by itself.
        let at = checked.fold_starts_at();
        let start = &checked.segments[at];
        if start.scanned.is_none() && Some(start.before.next_index()) <= checked.committed {
            return self.check_from(disk, dir, at);
        }
        Ok(checked)
    }

    fn check_from(&self, disk: &dyn Disk, dir: &Path, first_scanned: usize) -> Result<Checked, OpenError> {
        let mut segments: Vec<Known> = Vec::new();
        let mut before = self.before_first();
        let (mut committed, mut tail_bytes) = (None, Bytes::new());
        for (at, found) in self.segments.iter().enumerate() {
            let first_index = found.header.first_index;
            let store = path(dir, first_index, "store");
            let state = found.state.clone();
            let computed = before.take();
            if let (Some(state), Some(computed)) = (&state, &computed)
                && state != computed
            {
                let path = path(dir, first_index, "state");
                return Err(OpenError::DamagedFile { path, what: "it is not what the log before it gives" });
            }
            let computed_default = (first_index == 0).then(Checkpoint::default);
            let Some(state_before) = state.or(computed).or(computed_default) else {
                let path = path(dir, first_index, "state");
                return Err(OpenError::DamagedFile { path, what: "it is missing" });
            };
            let next = self.segments.get(at + 1).map(|next| next.header.first_index);
            let state_follows = self.segments.get(at + 1).is_none_or(|next| next.state.is_some());
            let scanned = if at >= first_scanned || !state_follows {
                let bytes = read_store(disk, &store)?;
                let scan = scan(&bytes, found.header.salt, &state_before, None);
                if let Some(damage) = scan.damage(&store, next) {
                    return Err(OpenError::Damaged(damage));
                }
                committed = committed.max(scan.committed);
                before = Some(scan.after.clone());
                tail_bytes = bytes;
                Some(scan)
            } else {
                None
            };
            segments.push(Known {
                header: found.header,
                state_missing: found.state.is_none(),
                before: state_before,
                entries_if_closed: next.map(|next| (next - first_index) as u32),
                scanned,
            });
        }
        // What was purged had been committed.
        committed = committed.max(segments[0].before.last.map(|last| last.index));
        let last = segments.last().expect("a log has a segment");
        let tail = last.scanned.as_ref().expect("the last segment is always scanned");
        let store = path(dir, last.header.first_index, "store");
        let torn = tail.bad.as_ref().map(|bad| Torn { file: store.clone(), position: tail.end, what: bad.what });
        if committed >= Some(tail.after.next_index()) {
            return Err(OpenError::Damaged(Damage {
                file: store,
                position: tail.end,
                what: tail.bad.as_ref().map_or("committed entries are missing", |bad| bad.what),
                first_index: tail.after.next_index(),
                next_index: None,
                first_offset: tail.after.state.next_offset,
                next_offset: None,
            }));
        }
        Ok(Checked { segments, tail_bytes, committed, torn })
    }

    /// The oldest segment that is read whole.
    fn first_to_scan(&self, disk: &dyn Disk, dir: &Path, bytes_max: u64) -> Result<usize, OpenError> {
        let mut bytes = 0;
        let mut first = self.segments.len();
        for (at, found) in self.segments.iter().enumerate().rev() {
            let store = path(dir, found.header.first_index, "store");
            bytes += length(disk, &store)?;
            // The last two, since the last may still be empty.
            if at + 2 < self.segments.len() && bytes > bytes_max {
                break;
            }
            first = at;
        }
        Ok(first)
    }
}

/// A segment that passed its checks.
pub(crate) struct Known {
    header: StoreHeader,
    state_missing: bool,
    pub before: Checkpoint,
    entries_if_closed: Option<u32>,
    /// What its bytes say; `None` if they were not read.
    pub scanned: Option<Scan>,
}

pub(crate) struct Checked {
    pub segments: Vec<Known>,
    /// The last store, whole.
    tail_bytes: Bytes,
    pub committed: Option<u64>,
    pub torn: Option<Torn>,
}

impl Checked {
    /// The newest segment before which all is known to be committed.
    fn fold_starts_at(&self) -> usize {
        let next = self.committed.map_or(0, |index| index + 1);
        let starts = self.segments.iter().rposition(|known| known.before.next_index() <= next);
        starts.expect("the first segment starts behind a committed entry")
    }

    /// Brings the files to where the log can be written to, durably.
    fn mend(
        self,
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: Config,
        leftovers: Vec<PathBuf>,
    ) -> Result<Opened, OpenError> {
        let at = |what, path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::Io { what, path, error }
        };
        for leftover in &leftovers {
            match disk.remove(leftover) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(at("remove", leftover))?,
            }
        }
        let shared = Arc::new(Shared::default());
        for known in &self.segments {
            let first_index = known.header.first_index;
            if known.state_missing {
                let state = path(dir, first_index, "state");
                write_state(&*disk, dir, &known.before).map_err(at("write", &state))?;
            }
            let rows = known.entries_if_closed.unwrap_or_else(|| {
                config.index_rows_max.max(known.scanned.as_ref().map_or(0, |scan| scan.rows.len() as u32))
            });
            let index_path = path(dir, first_index, "index");
            let segment = Segment::assemble(&*disk, dir, known.header, known.before.clone(), rows)
                .map_err(at("open the segment of", &index_path))?;
            if let Some(scan) = &known.scanned {
                segment.correct_rows(&scan.rows);
            }
            segment.publish(
                known
                    .entries_if_closed
                    .unwrap_or_else(|| known.scanned.as_ref().map_or(0, |scan| scan.rows.len() as u32)),
            );
            shared.change(|segments| segments.push(Arc::new(segment)));
        }
        let active = shared.list().last().expect("a log has a segment").clone();
        let last_known = self.segments.last().expect("a log has a segment");
        let tail = last_known.scanned.as_ref().expect("the last segment is always scanned");
        rewrite_last_batch(&active, &self.tail_bytes, tail)
            .map_err(at("write the last batch again in", &active.store_path))?;
        disk.sync_dir(dir).map_err(at("sync", dir))?;

        let reader = Reader { shared: shared.clone() };
        let (segments, committed) = (&self.segments, self.committed);
        let last = tail.after.last;
        let checkpoint = segments[self.fold_starts_at()].before.clone();
        let recovered = Recovered {
            last_purged: segments[0].before.last,
            last,
            committed: committed_id(&reader, committed, &checkpoint)?,
            checkpoint,
            torn: self.torn,
        };
        let next_batch = segments
            .iter()
            .filter_map(|known| known.scanned.as_ref()?.last_batch.map(|(_, number)| number))
            .max()
            .map_or(1, |number| number + 1);
        let writer = Writer {
            disk,
            dir: dir.to_owned(),
            config,
            shared,
            active,
            end: tail.end,
            allocated: tail.end,
            fold: tail.after.clone(),
            next_batch,
            synced: last.map(|last| last.index),
            committed,
            dirty: false,
            unsealed: last.is_some(),
            failed: None,
        };
        Ok(Opened { writer, reader, recovered })
    }
}

/// Cuts what is torn, and makes the last batch durable whatever the page cache claims.
fn rewrite_last_batch(active: &Segment, bytes: &Bytes, tail: &Scan) -> io::Result<()> {
    active.file.set_len(tail.end)?;
    if let Some((start, _)) = tail.last_batch {
        // The same bytes at the same place: tearing this write does no harm.
        active.file.write_all_at(&bytes[start as usize..tail.end as usize], start)?;
    }
    active.file.sync_data()
}

fn committed_id(
    reader: &Reader,
    committed: Option<u64>,
    checkpoint: &Checkpoint,
) -> Result<Option<EntryId>, OpenError> {
    let Some(index) = committed else { return Ok(None) };
    if let Some(last) = checkpoint.last.filter(|last| last.index == index) {
        return Ok(Some(last));
    }
    match reader.entries(index, index + 1, 1) {
        Ok(entries) => Ok(entries.first().map(|entry| entry.id)),
        Err(crate::ReadError::Damaged(damage)) => Err(OpenError::Damaged(damage)),
        Err(crate::ReadError::Io { path, error, .. }) => {
            Err(OpenError::Io { what: "read", path, error: io::Error::new(error.kind(), error.to_string()) })
        }
        Err(crate::ReadError::Purged { .. } | crate::ReadError::Trimmed { .. }) => Ok(None),
    }
}

fn length(disk: &dyn Disk, path: &Path) -> Result<u64, OpenError> {
    let io = |error| OpenError::Io { what: "measure", path: path.to_owned(), error };
    disk.open(path, seedlog_runtime::disk::OpenMode::Read).map_err(io)?.len().map_err(io)
}

pub(crate) fn read_store(disk: &dyn Disk, path: &Path) -> Result<Bytes, OpenError> {
    let io = |what, error| OpenError::Io { what, path: path.to_owned(), error };
    let file = disk.open(path, seedlog_runtime::disk::OpenMode::Read).map_err(|error| io("open", error))?;
    read_whole(&*file).map_err(|unreadable| {
        let error = unreadable.error;
        io("read", io::Error::new(error.kind(), format!("near byte {}: {error}", unreadable.position)))
    })
}

impl Scan {
    /// Whether this store lacks what had been synced. `next` is where the following segment starts.
    pub fn damage(&self, store: &Path, next: Option<u64>) -> Option<Damage> {
        let first_index = self.after.next_index();
        let later = self.bad.as_ref().and_then(|bad| bad.later.clone());
        let missing_before_next = next.is_some_and(|next| next != first_index);
        if later.is_none() && !missing_before_next {
            return None;
        }
        Some(Damage {
            file: store.to_owned(),
            position: self.end,
            what: self.bad.as_ref().map_or("entries are missing", |bad| bad.what),
            first_index,
            next_index: later.as_ref().map(|later| later.first_index).or(next),
            first_offset: self.after.state.next_offset,
            next_offset: later.and_then(|later| later.first_offset),
        })
    }
}
