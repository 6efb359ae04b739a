//! The file to produce from, or stdin, read in chunks where blocking is allowed.

// The user's file, of whatever kind (a pipe, a terminal), is not the log's disk.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const CHUNK_BYTES: usize = 256 << 10;

pub struct Input {
    reader: Box<dyn Read + Send>,
    /// Known for a plain file.
    pub bytes: Option<u64>,
}

impl Input {
    /// `-` is stdin.
    ///
    /// # Errors
    /// The operating system's, and for a directory.
    pub fn open(path: &Path) -> io::Result<Input> {
        if path.as_os_str() == "-" {
            return Ok(Input { reader: Box::new(io::stdin()), bytes: None });
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Input { bytes: metadata.is_file().then_some(metadata.len()), reader: Box::new(file) })
    }

    /// What can be had without waiting for more than there is; empty at the end.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn next(mut self) -> (Input, io::Result<Bytes>) {
        seedlog_runtime::blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = loop {
                match self.reader.read(&mut chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            let chunk = read.map(|bytes| {
                chunk.truncate(bytes);
                Bytes::from(chunk)
            });
            (self, chunk)
        })
        .await
    }
}
