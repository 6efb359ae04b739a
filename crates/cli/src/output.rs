//! Lines on stdout. A reader that goes away is no failure: `seedlog consume | head -1` is quiet.

use serde::Serialize;
use std::io::{self, Write};

/// Somebody may still be reading, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    There,
    Gone,
}

/// What became of a write to stdout.
///
/// # Errors
/// Any other error than the reader having gone away: a full disk behind a redirection, say.
pub fn written(result: io::Result<()>) -> io::Result<Reader> {
    match result {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// One JSON object and a newline.
pub fn json(value: &impl Serialize) -> io::Result<Reader> {
    let mut line = serde_json::to_vec(value).expect("strings, numbers and lists always encode");
    line.push(b'\n');
    bytes(&line)
}

pub fn bytes(bytes: &[u8]) -> io::Result<Reader> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}
