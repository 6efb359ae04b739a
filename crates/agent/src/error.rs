use crate::config::BadConfig;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node did not start: what, where, and where it helps, what to do. Nothing is left running or
/// locked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("configuration: {0}")]
    Config(#[from] BadConfig),
    #[error("data directory: {0}")]
    DataDir(#[from] seedlog_log::OpenError),
    #[error("cannot listen on {addr} for {what}: {error}{}", hint(error))]
    Listen { what: &'static str, addr: SocketAddr, error: io::Error },
    #[error(
        "{} holds no log, and there is no cluster to join: to begin a new log there, start with --bootstrap; to join a \
         cluster, name some of its nodes with --start-join-addrs",
        data_dir.display()
    )]
    NothingToJoin { data_dir: PathBuf },
    #[error(transparent)]
    Gossip(#[from] seedlog_gossip::StartError),
    #[error(transparent)]
    Node(#[from] seedlog_raft::StartError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another port, or stop what listens there",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address, choose one of its own",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    }
}
