//! Everything that can end a command badly, and its exit code.

use seedlog_client::{BadAddress, Error};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tonic::Code;

pub const FAILED: u8 = 1;
/// `verify` only: the same code as a failure, since a script asks "is it sound?".
pub const DAMAGED: u8 = 1;
pub const USAGE: u8 = 2;
pub const UNKNOWN_OUTCOME: u8 = 3;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Start(Box<seedlog_agent::StartError>),
    #[error("{error} ({settings})")]
    Listen { error: Box<seedlog_agent::StartError>, settings: String },
    #[error("{0}")]
    Setting(crate::agent::BadSetting),
    #[error("the node has stopped: {why}")]
    Stopped { why: String },
    #[error("the node is not ready after {after:?}")]
    NotReady { after: Duration },
    #[error(
        "{nodes} nodes need a gRPC port each, 10 apart, and an HTTP port each, from --rpc-port {rpc_port} and \
         --http-addr {http_addr} on; neither may be 0, and none above 65535"
    )]
    ClusterPorts { nodes: u16, rpc_port: u16, http_addr: std::net::SocketAddr },
    #[error(
        "{} was made with --nodes {held}, and has no place for --nodes {nodes}: give the same number, or another directory",
        dir.display()
    )]
    OtherNodes { dir: PathBuf, held: u16, nodes: u16 },
    #[error("cannot start {name}: {error}")]
    NodeNotStarted { name: String, error: io::Error },
    #[error("{name} has ended by itself ({how})")]
    NodeEnded { name: String, how: String },
    #[error("cannot look after {name}: {error}")]
    NodeLost { name: String, error: io::Error },
    #[error("after {after:?} not all nodes vote, or none leads")]
    ClusterNotReady { after: Duration },
    #[error("not all nodes have stopped after {after:?}: those were killed")]
    ClusterNotStopped { after: Duration },
    #[error("cannot watch for signals: {error}")]
    Signals { error: io::Error },
    #[error("cannot use a data directory: {error}")]
    Dir { error: io::Error },
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),

    #[error("--http-addr {given}: {why}")]
    HttpAddr { given: String, why: String },
    #[error("--addr: {0}")]
    Address(#[from] BadAddress),
    #[error("cannot reach {addr}: {message}; is a node running there? (`seedlog dev` starts one)")]
    Unreachable { addr: String, message: String },
    #[error("{addr} does not answer as gRPC does: {message}; is it a node's gRPC port? (`seedlog dev` has it on 8400)")]
    NoGrpc { addr: String, message: String },
    #[error("no server answers:{}", listed(.0))]
    NobodyAnswers(Vec<Failure>),
    #[error("{addr}: {error}")]
    Call { addr: String, error: Error },
    #[error("offset {asked} is past the log's end, {end}; --follow waits for it")]
    PastTheEnd { asked: u64, end: u64 },
    #[error("a retention of nothing at all: to give up every record use `seedlog trim`, to keep every one --none")]
    NoRetention,
    #[error("no server has the id or the name {given:?}; there are {known}")]
    NoSuchServer { given: String, known: String },
    #[error("several servers have the name {given:?}: give the id of one of them: {ids}")]
    NameShared { given: String, ids: String },
    #[error("no command {given:?}; there are {known}")]
    NoSuchCommand { given: String, known: String },
    #[error("{0}")]
    Record(crate::record::BadOption),
    #[error("the stream from {addr} has ended: {why}; `--from {next}` goes on where it stopped")]
    TailEnded { addr: String, why: String, next: u64 },

    #[error("cannot open {}: {error}", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Produce(Box<crate::produce::Broken>),
    #[error("--from: {0}")]
    MirrorFrom(BadAddress),
    #[error("{0}{hint}", hint = crate::mirror::hint(.0))]
    Mirror(Box<seedlog_client::mirror::MirrorError>),
    #[error("{0}")]
    Bench(#[from] crate::bench::BenchError),

    #[error("{} was not checked: {why}", dir.display())]
    NotChecked { dir: PathBuf, why: String },
}

fn listed(failures: &[Failure]) -> String {
    failures.iter().map(|failure| format!("\n  {failure}")).collect()
}

impl From<seedlog_agent::StartError> for Failure {
    fn from(error: seedlog_agent::StartError) -> Failure {
        Failure::Start(Box::new(error))
    }
}

impl Failure {
    /// A call that failed, told apart from a server that is not there.
    pub fn call(addr: &str, error: Error) -> Failure {
        match error {
            Error::Status { code: Code::Unavailable, message } => {
                Failure::Unreachable { addr: addr.to_owned(), message }
            }
            // What answers does not speak HTTP/2, or speaks it and not gRPC.
            Error::Status { code: Code::Internal | Code::Unknown, message } if message.contains("protocol error") => {
                Failure::NoGrpc { addr: addr.to_owned(), message }
            }
            // It hung up before the call was on its way.
            Error::Status { code: Code::Cancelled, message } => Failure::NoGrpc { addr: addr.to_owned(), message },
            error => Failure::Call { addr: addr.to_owned(), error },
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Address(_) | Failure::MirrorFrom(_) | Failure::Setting(_) | Failure::NotChecked { .. } => USAGE,
            Failure::NoRetention | Failure::NoSuchCommand { .. } | Failure::Record(_) => USAGE,
            Failure::ClusterPorts { .. } | Failure::OtherNodes { .. } => USAGE,
            Failure::Bench(error) if error.is_usage() => USAGE,
            Failure::Produce(broken) => broken.exit_code(),
            _ => FAILED,
        }
    }
}
