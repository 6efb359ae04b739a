//! The log on a disk that fails.

mod common;
mod keeper;
mod model;
mod recovery;
mod repair;
