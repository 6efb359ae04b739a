use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
    #[error("cannot start {program}: {error}")]
    Start { program: String, error: io::Error },
    #[error("{program} ended with {status}{}", if .stderr.is_empty() { String::new() } else { format!(": {}", .stderr) })]
    Ended { program: String, status: String, stderr: String },
    #[error("{program} said {said:?} where {wanted} was expected")]
    Unexpected { program: String, said: String, wanted: &'static str },
    #[error("{program} was not ready after {after:?}")]
    NotReady { program: String, after: Duration },
    #[error("{} is on {kind}, where a sync does nothing: --dir must name a directory on a disk", dir.display())]
    NoDisk { dir: PathBuf, kind: String },
    #[error("{} has {free} bytes free, --large needs about {needed}", dir.display())]
    NoRoom { dir: PathBuf, free: u64, needed: u64 },
    #[error("the server answered: {0}")]
    Status(#[from] Box<tonic::Status>),
    #[error("the connection: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("{program} at {addrs} had nobody who leads after {after:?}; last heard: {said}")]
    NoLeader { program: &'static str, addrs: String, after: Duration, said: String },
    #[error("NATS said {0:?}")]
    Nats(String),
    #[error("{} has no line {line}", path.display())]
    NoMarker { path: PathBuf, line: &'static str },
    #[error("Redis answered {0:?}")]
    Redis(String),
}

pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    move |error| BenchError::Io { what: what.into(), error }
}
