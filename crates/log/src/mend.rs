//! A damaged log made whole again.
//!
//! Nothing here decides which entries are right. Whoever brings copies has them from a log that has the same entries
//! there; here they are held against everything that is left of the lost ones.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::entry::Entry;
use crate::error::OpenError;
use crate::layout::StoreHeader;
use crate::purge::{Start, start_path};
use crate::recover::read_store;
use crate::remains::{Part, Remains};
use crate::rewrite::Sources;
use crate::salvage::Salvage;
use crate::scan::scan;
use crate::segment::{self, path};
use seedlog_runtime::disk::Disk;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a damaged log is made whole with.
#[derive(Debug, Default)]
pub struct Remedy {
    pub copies: BTreeMap<u64, Entry>,
    /// What comes before its next entry is not needed any more: the log is to start behind it.
    pub start: Option<Checkpoint>,
    /// The log is to end before this entry.
    pub end: Option<u64>,
    /// It is to end there although nobody can say where it ended: its newest store is lost.
    pub end_lost: bool,
}

/// Puts the copies in the place of what is missing, as far as they go, and puts right what needs none. Each store that
/// is made whole is durable before the next is begun; a crash in between leaves a log that needs less.
///
/// # Errors
/// [`OpenError::BadCopy`] if copies are not what was there; as [`diagnose`].
pub fn mend(disk: &dyn Disk, dir: &Path, config: &Config, remedy: &Remedy) -> Result<(), OpenError> {
    let mut remains = Remains::take(disk, dir, config)?;
    if remains.end_unknown && !(remains.end_lost && remedy.end_lost && remedy.end.is_some()) {
        // It may have been readable when it was looked for what is missing: what cannot be read now would be cut off.
        let first_index = remains.parts.last().map_or(0, |newest| newest.first_index);
        let error = io::Error::other("where the log ends cannot be read");
        return Err(OpenError::Io { what: "read", path: path(dir, first_index, "store"), error });
    }
    let start_at = |start: Start| {
        let path = start_path(dir);
        start.write(disk, dir).map_err(|error| OpenError::Io { what: "write", path, error })
    };
    if let Some(index) = remedy.end {
        give_up(disk, dir, &mut remains, index)?;
    }
    // The fold where the part before ended.
    let mut reached: Option<Checkpoint> = None;
    let start = remedy.start.as_ref().filter(|start| start.next_index() > remains.parts[0].first_index);
    let first = start.map_or(0, Checkpoint::next_index);
    if let Some(start) = start
        && first >= remains.end
    {
        return start_at(Start::new(start.clone(), true));
    }
    for (at, part) in remains.parts.iter().enumerate() {
        let end = remains.end_of(at);
        if start.is_some() && end <= first {
            continue;
        }
        let cut = start.filter(|start| start.next_index() >= part.first_index);
        let Some(before) = cut.or(part.state.as_ref()).or(reached.as_ref()) else {
            // What the segment before it would have given: that one is not whole yet.
            return Ok(());
        };
        if part.state_damaged && cut.is_none() {
            write_state(disk, dir, before)?;
        }
        let next_state = remains.parts.get(at + 1).and_then(|next| next.state.as_ref());
        let sound = part.header.filter(|_| part.is_sound() && part.sound_to() >= end && cut.is_none());
        reached = match sound {
            None => Mending { disk, dir, config, copies: &remedy.copies, part, end, next_state }.mend(before)?,
            Some(header) if next_state.is_none() => {
                let store = read_store(disk, &path(dir, part.first_index, "store"))?;
                Some(scan(&store, header.salt, before, Some(end - part.first_index)).after)
            }
            Some(_) => None,
        };
        if let Some(cut) = cut {
            if reached.is_none() {
                return Ok(());
            }
            start_at(Start::new(cut.clone(), false))?;
        }
    }
    Ok(())
}

fn write_state(disk: &dyn Disk, dir: &Path, state: &Checkpoint) -> Result<(), OpenError> {
    let path = path(dir, state.next_index(), "state");
    segment::write_state(disk, dir, state).map_err(|error| OpenError::Io { what: "write", path, error })
}

/// One segment that is made whole.
struct Mending<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    config: &'a Config,
    copies: &'a BTreeMap<u64, Entry>,
    part: &'a Part,
    end: u64,
    next_state: Option<&'a Checkpoint>,
}

impl Mending<'_> {
    /// Returns the fold after its last entry if it is whole now.
    fn mend(&self, before: &Checkpoint) -> Result<Option<Checkpoint>, OpenError> {
        let Mending { part, end, .. } = *self;
        let (left, _) = part.salvage(self.disk, self.dir)?;
        let first = before.next_index();
        let kept = left.frames.range(first..end).next_back().map_or(first, |(last, _)| last + 1);
        // What starts later than it did becomes a store of its own.
        let its_own = part.header.filter(|_| first == part.first_index);
        let mut reached = before.clone();
        if kept > first {
            let have = |index: u64| left.frames.contains_key(&index) || self.copies.contains_key(&index);
            if !(first..kept).all(have) {
                return Ok(None);
            }
            reached = self.write(&reached, its_own, &left, kept)?;
        }
        // What is missing at the end becomes a store of its own: there may be more of it than one should hold.
        let copied = self.copies.range(kept..end).zip(kept..).take_while(|((index, _), wanted)| **index == *wanted);
        let to = kept + copied.count() as u64;
        let whole_is_lost = kept == first;
        if to > kept || whole_is_lost && to == end {
            let nothing = Salvage { number: left.number, ..Salvage::default() };
            let header = its_own.filter(|_| whole_is_lost);
            reached = self.write(&reached, header, if whole_is_lost { &left } else { &nothing }, to)?;
        }
        Ok((to == end).then_some(reached))
    }

    /// Writes the store that follows `before` and has the entries up to `to`, and its state where there is none.
    fn write(
        &self,
        before: &Checkpoint,
        header: Option<StoreHeader>,
        left: &Salvage,
        to: u64,
    ) -> Result<Checkpoint, OpenError> {
        let Mending { disk, dir, config, copies, part, end, next_state } = *self;
        let first_index = before.next_index();
        let new = StoreHeader { first_index, salt: config.salt, owner: config.owner };
        let after = next_state.filter(|_| to == end);
        let header = header.unwrap_or(new);
        let written = Sources { header, before, left, copies, indexes: first_index..to, after }.write(disk, dir)?;
        let io = |error| OpenError::Io { what: "replace", path: path(dir, first_index, "store"), error };
        written.replace(disk).map_err(io)?;
        if first_index != part.first_index || part.state.as_ref() != Some(before) {
            write_state(disk, dir, before)?;
        }
        Ok(written.after)
    }
}

/// Lets go of the entry at `index` and all behind it: whole segments at once, back to front.
fn give_up(disk: &dyn Disk, dir: &Path, remains: &mut Remains, index: u64) -> Result<(), OpenError> {
    while remains.parts.len() > 1 && remains.parts.last().is_some_and(|part| part.first_index >= index) {
        let part = remains.parts.pop().expect("there is more than one");
        for extension in ["state", "index", "store"] {
            let file = path(dir, part.first_index, extension);
            let gone = match disk.remove(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| disk.sync_dir(dir)),
            };
            gone.map_err(|error| OpenError::Io { what: "remove", path: file, error })?;
        }
    }
    remains.end = index;
    let newest = remains.parts.last_mut().expect("the first one stays");
    // So that it is written anew, without them.
    newest.left.broken = true;
    Ok(())
}
