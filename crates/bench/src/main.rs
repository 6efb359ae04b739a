//! Figures for one node, and what they are measured against: the disk's own syncs, a gRPC server that
//! keeps nothing, and Redis; and for three nodes beside etcd's and NATS's. Everything runs interleaved, round by
//! round, on one file system, each in a process of its own: `run` and `peers` start this program again for the
//! clients of the others, and `seedlog` for the nodes.

// It measures the machine: files, clocks and threads as they are, and nothing of it runs in a simulation.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "measures the machine itself")]

mod aims;
mod args;
mod disk;
mod echo_client;
mod echo_server;
mod error;
mod etcd_client;
mod figures;
mod large;
mod machine;
mod nats_client;
mod nats_wire;
mod peers;
mod process;
mod quick;
mod redis_client;
mod rounds;
mod table;

use args::{Cli, Command};
use clap::Parser;
use error::BenchError;
use figures::Figures;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => rounds::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Quick(args) => quick::run(&args),
        Command::EchoServer => echo_server::run().map(|()| ExitCode::SUCCESS),
        Command::EchoClient(args) => echo_client::run(&args).and_then(print),
        Command::EtcdClient(args) => etcd_client::run(&args).and_then(print),
        Command::NatsClient(args) => nats_client::run(&args).and_then(print),
        Command::RedisClient(args) => redis_client::run(&args).and_then(print),
        Command::Disk(args) => disk::run(&args).and_then(print),
    };
    done.unwrap_or_else(|error| {
        eprintln!("seedlog-bench: {error}");
        ExitCode::FAILURE
    })
}

/// For the process that started this one.
fn print(figures: Figures) -> Result<ExitCode, BenchError> {
    println!("{}", serde_json::to_string(&figures).expect("numbers always encode"));
    Ok(ExitCode::SUCCESS)
}
