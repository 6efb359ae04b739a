//! The command line: names, defaults and help. No behaviour.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Figures for one node, next to the disk's, gRPC's and Redis's on the same machine, and for three next to their peers.
#[derive(Debug, Parser)]
#[command(name = "seedlog-bench", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs all of it and prints the table
    Run(Run),
    /// Runs three nodes of each, side by side: us, etcd and NATS, and one Redis
    Peers(Peers),
    /// Counts the instructions that a node executes for a record, under callgrind, and holds them against those kept
    Quick(Quick),
    /// A gRPC server with the log's messages that keeps nothing; ends with its stdin
    #[command(hide = true)]
    EchoServer,
    #[command(hide = true)]
    EchoClient(Calls),
    #[command(hide = true)]
    EtcdClient(Calls),
    #[command(hide = true)]
    NatsClient(Calls),
    #[command(hide = true)]
    RedisClient(Calls),
    #[command(hide = true)]
    Disk(Disk),
}

#[derive(Debug, Args)]
pub struct Run {
    /// The program `seedlog`
    #[arg(long, value_name = "FILE")]
    pub seedlog: PathBuf,

    /// Where the files go: on a real disk, never on tmpfs
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// How long each is measured in each round
    #[arg(long, value_name = "SECS", default_value = "1.5", value_parser = seconds)]
    pub seconds: Duration,

    /// Bytes of each record
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=64 << 10))]
    pub size: u32,

    /// Also a log of 10 GB: how long it takes to open, and to append to. Writes as much to --dir
    #[arg(long)]
    pub large: bool,

    /// Only that
    #[arg(long, requires = "large")]
    pub large_only: bool,

    /// How large that log is
    #[arg(long, value_name = "BYTES", default_value_t = 10_000_000_000, value_parser = clap::value_parser!(u64).range(200_000_000..))]
    pub large_bytes: u64,

    /// A missed aim is an exit code, too
    #[arg(long)]
    pub strict: bool,

    /// All rounds' figures go to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Peers {
    /// The program `seedlog`
    #[arg(long, value_name = "FILE")]
    pub seedlog: PathBuf,

    /// Where the files go: on a real disk, never on tmpfs
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// How long each is measured in each round
    #[arg(long, value_name = "SECS", default_value = "0.7", value_parser = seconds)]
    pub seconds: Duration,

    /// A missed aim is an exit code, too
    #[arg(long)]
    pub strict: bool,

    /// All rounds' figures go to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// The tables go into this file, too, between its lines `<!-- ci/bench-peers -->` and `<!-- end -->`
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Quick {
    /// The program `seedlog`
    #[arg(long, value_name = "FILE")]
    pub seedlog: PathBuf,

    /// Where the node's files go
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// What is kept, to be held against
    #[arg(long, value_name = "FILE")]
    pub figures: PathBuf,

    /// Keeps what is counted now
    #[arg(long)]
    pub update: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One call for each record
    Unary,
    /// One stream of requests and one of answers
    Stream,
    /// One stream of answers
    Consume,
}

/// What the clients of the others are told.
#[derive(Debug, Args)]
pub struct Calls {
    /// Of a cluster all, with commas between: the client finds the one that leads
    #[arg(long)]
    pub addr: String,
    /// Of a stream in NATS
    #[arg(long, default_value_t = 3)]
    pub replicas: u32,
    #[arg(long, value_enum, default_value = "stream")]
    pub shape: Shape,
    #[arg(long)]
    pub in_flight: u32,
    #[arg(long)]
    pub size: u32,
    /// Records of one message
    #[arg(long, default_value_t = 1)]
    pub batch: u32,
    #[arg(long, value_parser = seconds)]
    pub seconds: Duration,
    #[arg(long, default_value = "0.3", value_parser = seconds)]
    pub warm_up: Duration,
}

#[derive(Debug, Args)]
pub struct Disk {
    #[arg(long)]
    pub dir: PathBuf,
    #[arg(long)]
    pub size: u32,
    /// Into zeros written before, instead of growing the file
    #[arg(long)]
    pub prewritten: bool,
    #[arg(long, value_parser = seconds)]
    pub seconds: Duration,
}

fn seconds(given: &str) -> Result<Duration, String> {
    match given.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, more than 0 and at most 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
