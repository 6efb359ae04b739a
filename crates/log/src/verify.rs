//! The same checks as at start, over every byte, offline, changing nothing.

use crate::error::{Damage, OpenError};
use crate::recover::{Survey, Torn};
use crate::segment::{parse_name, path};
use crate::small_file;
use seedlog_runtime::disk::Disk;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub segments: Vec<SegmentReport>,
    /// All damage found, in log order. Empty: every synced byte is what was written.
    pub damage: Vec<Damage>,
    /// Files that do not decode, with what is wrong.
    pub damaged_files: Vec<(PathBuf, &'static str)>,
    /// A tail that the next start will cut: it was being written when the process or the power went.
    pub torn: Option<Torn>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    pub store: PathBuf,
    pub first_index: u64,
    pub entries: u64,
    pub first_offset: u64,
    pub next_offset: u64,
    /// Bytes up to the end of the last sound entry.
    pub bytes: u64,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.damaged_files.is_empty()
    }

    fn note(&mut self, path: PathBuf, what: &'static str) {
        if !self.damaged_files.iter().any(|(noted, _)| *noted == path) {
            self.damaged_files.push((path, what));
        }
    }
}

/// Checks the log in `dir`. Nobody may be writing to it.
///
/// # Errors
/// [`OpenError::Io`] if something cannot be read at all.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Report, OpenError> {
    let mut report = Report::default();
    for path in small_files(disk, dir)? {
        match small_file::check(disk, &path) {
            Err(OpenError::DamagedFile { path, what }) => report.damaged_files.push((path, what)),
            checked => checked?,
        }
    }
    let survey = match Survey::take(disk, dir) {
        Err(OpenError::DamagedFile { path, what }) => {
            report.note(path, what);
            return Ok(report);
        }
        survey => survey?,
    };
    if survey.segments.is_empty() {
        return Ok(report);
    }
    // Every segment by itself, so that damage in one does not hide another's; then what holds across them.
    for (at, found) in survey.segments.iter().enumerate() {
        let first = || (at == 0).then(|| survey.before_first().unwrap_or_default());
        let Some(before) = found.state.clone().or_else(first) else { continue };
        let store = path(dir, found.header.first_index, "store");
        let bytes = crate::recover::read_store(disk, &store)?;
        let scan = crate::scan::scan(&bytes, found.header.salt, &before, None);
        let next = survey.segments.get(at + 1).map(|next| next.header.first_index);
        report.damage.extend(scan.damage(&store, next));
        report.segments.push(SegmentReport {
            store,
            first_index: found.header.first_index,
            entries: scan.rows.len() as u64,
            first_offset: before.state.next_offset,
            next_offset: scan.after.state.next_offset,
            bytes: scan.end,
        });
    }
    match survey.check(disk, dir, u64::MAX, None) {
        Ok(checked) => report.torn = checked.torn,
        Err(OpenError::Damaged(damage)) if !report.damage.contains(&damage) => report.damage.push(damage),
        Err(OpenError::Damaged(_)) => {}
        Err(OpenError::DamagedFile { path, what }) => report.note(path, what),
        Err(other) => return Err(other),
    }
    Ok(report)
}

/// Whatever lies there beside the segments: each is a small file, whoever wrote it.
fn small_files(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let names = disk.list(dir).map_err(|error| OpenError::Io { what: "list", path: dir.to_owned(), error })?;
    let small = names.iter().filter(|name| parse_name(name).is_none() && !name.ends_with(".tmp"));
    Ok(small.map(|name| dir.join(name)).collect())
}
