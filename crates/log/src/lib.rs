//! The segmented log: bytes on a disk, and the fold over them.
//!
//! Synchronous. This crate never reads a clock, never draws a random number, never spawns, and knows
//! neither Raft nor the network; every byte goes through `seedlog_runtime::disk`.
//!
//! A segment is three files named by the 20-digit index of its first entry: `.store` (the truth),
//! `.index` (a hint, rebuilt from the store whenever it disagrees) and `.state` (the fold's value
//! before the segment's first entry). [`layout`] draws the bytes.

mod batch;
mod checkpoint;
mod command;
mod compare;
mod config;
mod data_dir;
mod encode;
mod entry;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod index;
mod keeper;
pub mod layout;
mod mend;
mod producers;
mod purge;
mod reader;
mod recover;
mod remains;
mod rewrite;
mod salvage;
mod scan;
mod scrub;
mod segment;
pub mod small_file;
mod state;
mod suspect;
mod truncate;
mod verify;
mod writer;

pub use batch::{Conditions, PRODUCER_ID_BYTES_MAX, ProducerSequence, RecordBatch};
pub use checkpoint::Checkpoint;
pub use command::{Command, Fence, Retention};
pub use compare::{Comparison, Difference, compare};
pub use config::Config;
pub use data_dir::{DataDir, Identity, verify_data_dir};
pub use entry::{BadPayload, Entry, EntryId, Kind};
pub use error::{Damage, OpenError, ReadError, WriteError};
pub use keeper::{Ailing, Examined, Keeper, Remade};
pub use mend::{Remedy, mend};
pub use producers::{BATCHES_MAX, LastBatch, PRODUCERS_MAX, Producers};
pub use reader::{Reader, Record};
pub use recover::{Opened, Recovered, Torn, open};
pub use remains::{Lacking, Lender, Missing, diagnose};
pub use scrub::{Scrub, Scrubbed};
pub use state::{Outcome, Refusal, State};
pub use verify::{Report, SegmentReport, verify};
pub use writer::Writer;
