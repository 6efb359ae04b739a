//! The segmented log: bytes on a disk, and the fold over them.
//!
//! Synchronous. This crate never reads a clock, never draws a random number, never spawns, and knows
//! neither Raft nor the network; every byte goes through `seedlog_runtime::disk`.
//!
//! A segment is three files named by the 20-digit index of its first entry: `.store` (the truth),
//! `.index` (a hint, rebuilt from the store whenever it disagrees) and `.state` (the fold's value
//! before the segment's first entry). [`layout`] draws the bytes.

mod checkpoint;
mod config;
mod data_dir;
mod entry;
mod error;
mod index;
pub mod layout;
mod purge;
mod reader;
mod recover;
mod scan;
mod segment;
pub mod small_file;
mod state;
mod truncate;
mod verify;
mod writer;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use data_dir::{DataDir, Identity, verify_data_dir};
pub use entry::{BadPayload, Command, Entry, EntryId, Kind, RecordBatch};
pub use error::{Damage, OpenError, ReadError, WriteError};
pub use reader::{Reader, Record};
pub use recover::{Opened, Recovered, Torn, open};
pub use state::{Outcome, State};
pub use verify::{Report, SegmentReport, verify};
pub use writer::Writer;
