//! `seedlog dev`: one node on loopback, or a cluster of them, and what to try with it.

mod child;
mod cluster;

use crate::args::{Dev, HostPort, Output};
use crate::failure::Failure;
use crate::node::{self, Patience};
use crate::output;
use crate::signals::Signals;
use seedlog_agent::{Agent, Config};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A node alone leads within a second; a log that needs long to be read was read before.
const READY_MAX: Duration = Duration::from_secs(30);

pub async fn run(args: Dev, format: Output, log: Option<&str>) -> Result<ExitCode, Failure> {
    // From here on a signal is a wish to stop, also during the start.
    let signals = Signals::install()?;
    let dir = Dir::choose(args.data_dir.as_deref(), args.keep)?;
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
