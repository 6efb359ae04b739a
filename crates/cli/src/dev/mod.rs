//! `seedlog dev`: one node on loopback, or a cluster of them, and what to try with it.

mod child;
mod cluster;

use crate::args::{Dev, HostPort, Output};
use crate::failure::Failure;
use crate::node::{self, Patience};
use crate::output;
use crate::signals::Signals;
use seedlog_agent::{Agent, Config};
use seedlog_log::DataDir;
use seedlog_runtime::disk::RealDisk;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What `--nodes` takes at most.
const NODES_MAX: u16 = 5;
/// A node alone leads within a second; a log that needs long to be read was read before.
const READY_MAX: Duration = Duration::from_secs(30);

pub async fn run(args: Dev, format: Output, log: Option<&str>) -> Result<ExitCode, Failure> {
    // From here on a signal is a wish to stop, also during the start.
    let signals = Signals::install()?;
    let dir = Dir::choose(args.data_dir.as_deref(), args.keep)?;
    refuse_other_nodes(dir.path(), args.nodes).await?;
    if args.nodes > 1 {
        let http_addr = resolved(&args.http_addr).await?;
        return cluster::run(&cluster::Places::new(&args, http_addr, dir.path())?, &dir, log, signals, format).await;
    }
    let mut config = Config::new(dir.path().to_owned(), (Ipv4Addr::LOCALHOST, args.rpc_port).into());
    config.http_addr = Some(resolved(&args.http_addr).await?);
    config.node_name = "dev".to_owned();
    node::run(config, signals, Patience::AtMost(READY_MAX), |agent| say_ready(agent, &dir, format)).await
}

fn say_ready(agent: &Agent, dir: &Dir, format: Output) -> Result<(), Failure> {
    if format == Output::Json {
        let ready = json!({
            "rpc_addr": agent.rpc_addr().to_string(),
            "http_addr": agent.http_addr().map(|addr| addr.to_string()),
            "data_dir": dir.path().display().to_string(),
            "pid": std::process::id(),
        });
        output::json(&ready).map_err(Failure::Stdout)?;
    } else {
        eprint!("{}", what_to_try(agent, dir));
    }
    Ok(())
}

/// A directory of one node has no place for several, nor the other way round: its records would seem to be gone. Of a
/// cluster that had more nodes, those that are started may be too few. More are welcome.
async fn refuse_other_nodes(dir: &Path, nodes: u16) -> Result<(), Failure> {
    let root = dir.to_owned();
    let held = seedlog_runtime::blocking(move || {
        // What cannot be looked into is for the node to complain about.
        let is_one = |dir: &Path| DataDir::is_one(&RealDisk::new(), dir).unwrap_or(false);
        let alone = is_one(&root).then_some(1);
        // After a first start that failed there may be fewer of them than were asked for.
        let several = (1..=NODES_MAX).rev().find(|number| is_one(&root.join(format!("node-{number}"))));
        if nodes > 1 { alone.or(several.filter(|held| *held > nodes)) } else { several.map(|held| held.max(3)) }
    });
    if let Some(held) = held.await {
        return Err(Failure::OtherNodes { dir: dir.to_owned(), held, nodes });
    }
    Ok(())
}

/// As `--http-addr` names it.
async fn resolved(addr: &HostPort) -> Result<SocketAddr, Failure> {
    addr.resolve().await.map_err(|why| Failure::HttpAddr { given: addr.to_string(), why })
}

fn what_to_try(agent: &Agent, dir: &Dir) -> String {
    let rpc = agent.rpc_addr();
    let addr = if rpc.port() == crate::args::RPC_PORT { String::new() } else { format!(" --addr {rpc}") };
    let http = agent.http_addr().map_or_else(String::new, |http| {
        format!(
            "  curl -X POST {http} -d '{{\"record\":{{\"value\":\"TGV0J3MgR28gIzEK\"}}}}'\n  \
             curl -X GET {http} -d '{{\"offset\":0}}'\n"
        )
    });
    format!(
        "\none node on loopback: gRPC {rpc}{}; data in {}{}\n\ntry:\n{http}  \
         seq 1 100000 | seedlog produce{addr}\n  \
         seedlog consume --from 10 -n 5{addr}\n  \
         seedlog consume --follow{addr}\n  \
         seedlog status{addr}\n\nCtrl-C stops it\n\n",
        agent.http_addr().map_or_else(String::new, |http| format!(", HTTP {http}")),
        dir.path().display(),
        if dir.is_temporary() { " (removed at exit; keep it with --data-dir DIR)" } else { "" },
    )
}

/// Where the log is kept. A temporary one goes when this is dropped.
enum Dir {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
    /// A temporary one that stays.
    Kept(PathBuf),
}

impl Dir {
    fn choose(given: Option<&Path>, keep: bool) -> Result<Dir, Failure> {
        let chosen = match given {
            Some(path) => std::path::absolute(path).map(Dir::Given),
            None => tempfile::Builder::new().prefix("seedlog-dev-").tempdir().map(|dir| match keep {
                true => Dir::Kept(dir.keep()),
                false => Dir::Temporary(dir),
            }),
        };
        chosen.map_err(|error| Failure::Dir { error })
    }

    fn path(&self) -> &Path {
        match self {
            Dir::Given(path) | Dir::Kept(path) => path,
            Dir::Temporary(dir) => dir.path(),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Dir::Temporary(_))
    }
}
