//! Whether two logs are the same, entry by entry.

use crate::config::Config;
use crate::entry::{Entry, EntryId};
use crate::error::OpenError;
use crate::remains::Lender;
use seedlog_runtime::disk::Disk;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What two logs have in common. Of damage in them nothing is said: [`crate::verify`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Indexes of the entries that could be held against each other, from the later start to the earlier end.
    pub compared: Range<u64>,
    /// Both know that all entries up to here are committed.
    pub committed: Option<u64>,
    /// The first entry that is not the same in both.
    pub differs: Option<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// As the first log has it; none if it lacks the entry.
    pub one: Option<EntryId>,
    pub other: Option<EntryId>,
    pub index: u64,
}

impl Comparison {
    /// Entries that are not known to be committed may differ: Raft settles which of them stay.
    pub fn is_same(&self) -> bool {
        self.differs.is_none_or(|difference| self.committed < Some(difference.index))
    }
}

/// Compares the logs in two directories. Nobody may be writing to them.
///
/// # Errors
/// As [`crate::diagnose`].
pub fn compare(disk: &Arc<dyn Disk>, one: &Path, other: &Path) -> Result<Comparison, OpenError> {
    let open = |dir: &Path| Lender::new(disk.clone(), dir, &Config::default());
    let (one, other) = (open(one)?, open(other)?);
    let (mut ones, mut others) = (Cursor::new(&one), Cursor::new(&other));
    let start = one.first_checkpoint().next_index().max(other.first_checkpoint().next_index());
    let end = one.lacking().end.min(other.lacking().end).max(start);
    let committed = one.committed().min(other.committed());
    let mut differs = None;
    for index in start..end {
        let (one, other) = (ones.at(index)?, others.at(index)?);
        let same = one.is_some() && one == other;
        if !same {
            differs = Some(Difference { one: one.map(|entry| entry.id), other: other.map(|entry| entry.id), index });
            break;
        }
    }
    Ok(Comparison { compared: start..end, committed, differs })
}

/// Entries in order, a segment at a time.
struct Cursor<'a> {
    log: &'a Lender,
    entries: Vec<Entry>,
}

impl Cursor<'_> {
    fn new(log: &Lender) -> Cursor<'_> {
        Cursor { log, entries: Vec::new() }
    }

    fn at(&mut self, index: u64) -> Result<Option<&Entry>, OpenError> {
        if self.position(index).is_none() {
            self.entries = self.log.entries(index, u64::MAX, usize::MAX)?;
        }
        Ok(self.position(index).map(|at| &self.entries[at]))
    }

    fn position(&self, index: u64) -> Option<usize> {
        let first = self.entries.first()?.id.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }
}
