//! Looks after the files of a log that is in use: finds a segment that is not what it was, and makes it anew.
//!
//! Only a closed segment is made anew: nothing is written to it any more, so that it can be done beside the writer, who
//! but puts it in its place ([`crate::Writer::adopt`]). The one that is written to is closed first.

use crate::config::Config;
use crate::entry::{Entry, EntryId};
use crate::error::{OpenError, WriteError};
use crate::index::Row;
use crate::layout::StoreHeader;
use crate::reader::Reader;
use crate::remains::{Missing, Part, missing_of};
use crate::rewrite::{Sources, Written};
use crate::segment::{Segment, write_state};
use crate::suspect;
use crate::writer::{Writer, io_at};
use seedlog_runtime::disk::Disk;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The files behind a [`Reader`]. Every method is blocking work.
#[derive(Clone)]
pub struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    config: Config,
    pub(crate) reader: Reader,
}

/// What a look at a segment's files found.
pub enum Examined {
    /// The log has no such entry any more.
    Gone,
    /// It is written to: it has to be closed first.
    Open,
    /// All is there: whoever found it otherwise may have had a file that is not there any more, or a read that failed
    /// once.
    Sound(Box<Remade>),
    Ailing(Box<Ailing>),
}

/// A segment whose files are not what they were.
pub struct Ailing {
    keeper: Keeper,
    segment: Arc<Segment>,
    /// Index after its last entry.
    end: u64,
    /// Its last entry, as the next segment's state has it.
    last: Option<EntryId>,
    part: Part,
}

/// A segment as it is to be from now on.
pub struct Remade {
    segment: Arc<Segment>,
    end: u64,
    header: StoreHeader,
    /// The new store, where there is one.
    written: Option<Written>,
    state_lost: bool,
}

impl Keeper {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, config: Config, reader: Reader) -> Keeper {
        Keeper { disk, dir, config, reader }
    }

    /// Has the next start read everything from this segment on, if it is damaged still; `None`: nothing is any more.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn suspect(&self, first_index: Option<u64>) -> io::Result<()> {
        match first_index {
            Some(first_index) => suspect::write(&*self.disk, &self.dir, first_index),
            None => suspect::clear(&*self.disk, &self.dir),
        }
    }

    /// Reads the segment that has entry `index`, from its files as they are there now.
    ///
    /// # Errors
    /// If one cannot be opened. What cannot be read is taken for lost.
    pub fn examine(&self, index: u64) -> Result<Examined, OpenError> {
        let segments = self.reader.shared.list();
        let after = segments.partition_point(|segment| segment.first_index <= index);
        let Some(at) = after.checked_sub(1) else { return Ok(Examined::Gone) };
        let segment = segments[at].clone();
        let Some(next) = segments.get(after) else {
            return Ok(if index < segment.next_index() { Examined::Open } else { Examined::Gone });
        };
        let (end, last) = (next.first_index, next.before.last);
        let mut part = Part::take(&*self.disk, &self.dir, segment.first_index)?;
        part.state_damaged = !segment.state_is_there(&*self.disk);
        part.state = Some(segment.before.clone());
        let header = part.header.filter(|header| *header == segment.header());
        part.header = header;
        match header {
            Some(header) if part.is_sound() && part.sound_to() >= end && !part.state_damaged => {
                Ok(Examined::Sound(Box::new(Remade { segment, end, header, written: None, state_lost: false })))
            }
            _ => Ok(Examined::Ailing(Box::new(Ailing { keeper: self.clone(), segment, end, last, part }))),
        }
    }
}

impl Ailing {
    /// Index after the last entry of the segment. What is not committed up to there may still be taken back, and is not to
    /// be made anew.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn first_index(&self) -> u64 {
        self.segment.first_index
    }

    pub fn store(&self) -> PathBuf {
        self.segment.store_path.clone()
    }

    /// Entries of it that are lost, in order.
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = missing_of([(&self.part, self.end)].into_iter());
        for gap in &mut missing {
            gap.then = gap.then.or(self.last);
        }
        missing
    }

    /// Writes the segment anew, durably, beside its files: from what is left of them, and from `copies`, which are held
    /// against that.
    ///
    /// # Errors
    /// [`OpenError::BadCopy`] if a copy is not what was there, or one is lacking; [`OpenError::Io`] names the file.
    /// Nothing but a temporary file is left then.
    pub fn remake(&self, copies: &BTreeMap<u64, Entry>) -> Result<Box<Remade>, OpenError> {
        let Ailing { keeper, segment, end, part, .. } = self;
        let Keeper { disk, dir, config, .. } = keeper;
        let new = StoreHeader { first_index: segment.first_index, salt: config.salt, owner: config.owner };
        let header = part.header.unwrap_or(new);
        let whole = part.header.is_some() && part.is_sound() && part.sound_to() >= *end;
        let written = if whole {
            None
        } else {
            let (left, _) = part.salvage(&**disk, dir)?;
            let indexes = segment.first_index..*end;
            // What follows is known if it still does; the writer looks once more.
            let segments = keeper.reader.shared.list();
            let after = segments.iter().find(|next| next.first_index == *end).map(|next| &next.before);
            let sources = Sources { header, before: &segment.before, left: &left, copies, indexes, after };
            Some(sources.write(&**disk, dir)?)
        };
        let state_lost = part.state_damaged;
        Ok(Box::new(Remade { segment: segment.clone(), end: *end, header, written, state_lost }))
    }
}

impl Writer {
    /// Closes the segment that is written to if it has entry `index`.
    ///
    /// # Errors
    /// As described at [`Writer`].
    pub fn close(&mut self, index: u64) -> Result<(), WriteError> {
        self.check()?;
        assert!(!self.dirty, "closed before the batch was synced");
        let active = &self.active;
        if !(active.first_index..active.next_index()).contains(&index) {
            return Ok(());
        }
        self.guard(|writer| writer.roll(writer.config.index_rows_max))
    }

    /// Puts a segment in the place of the one that it was made from, durably. False, and nothing done, if that one is
    /// not there any more as it was: it was cut, or has gone.
    ///
    /// # Errors
    /// As described at [`Writer`].
    pub fn adopt(&mut self, remade: &Remade) -> Result<bool, WriteError> {
        self.check()?;
        let Remade { segment, end, header, written, state_lost } = remade;
        let segments = self.shared.list();
        let same = |(it, next): (&Arc<Segment>, &Arc<Segment>)| Arc::ptr_eq(it, segment) && next.first_index == *end;
        let Some(at) = segments.iter().zip(segments.iter().skip(1)).position(same) else { return Ok(false) };
        self.guard(|writer| {
            let (disk, dir) = (&*writer.disk, &writer.dir);
            let mut rows: &[Row] = &[];
            if let Some(written) = written {
                written.replace(disk).map_err(io_at("replace", &segment.store_path))?;
                rows = &written.rows;
            }
            if *state_lost {
                write_state(disk, dir, &segment.before).map_err(io_at("write the state of", &segment.store_path))?;
            }
            let entries = (end - segment.first_index) as u32;
            let anew = Segment::assemble(disk, dir, *header, segment.before.clone(), entries)
                .map_err(io_at("reopen", &segment.store_path))?;
            anew.correct_rows(rows);
            anew.publish(entries);
            writer.shared.change(|segments| segments[at] = Arc::new(anew));
            Ok(true)
        })
    }
}
