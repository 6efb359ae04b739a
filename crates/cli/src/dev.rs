//! `seedlog dev`: one node on loopback, and what to try with it.

use crate::args::{Dev, HostPort, Output};
use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;
use seedlog_agent::{Agent, Config, StopReason};
use seedlog_runtime::clock;
use seedlog_runtime::disk::RealDisk;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A node alone leads within a second; a log that needs long to be read was read before.
const READY_MAX: Duration = Duration::from_secs(30);

pub async fn run(args: Dev, format: Output) -> Result<ExitCode, Failure> {
    // From here on a signal is a wish to stop, also during the start.
    let mut signals = Signals::install()?;
    let dir = Dir::choose(args.data_dir.as_deref())?;
    let mut config = Config::new(dir.path().to_owned(), (Ipv4Addr::LOCALHOST, args.rpc_port).into());
    config.http_addr = Some(resolved(&args.http_addr).await?);
    config.node_name = "dev".to_owned();

    let agent = Agent::start(config, Arc::new(RealDisk::new())).await.map_err(Failure::Start)?;
    let ended = seedlog_runtime::select! {
        () = signals.next() => None,
        reason = serve(&agent, &dir, format) => Some(reason),
    };
    if ended.is_none() {
        eprintln!("stopping: finishing what is in flight (once more to stop at once)");
    }
    seedlog_runtime::select! {
        () = agent.shutdown() => {}
        () = signals.next() => eprintln!("not waiting: what was acknowledged is safe, what was not is unknown"),
    }
    match ended {
        None | Some(Ok(StopReason::Shutdown)) => Ok(ExitCode::SUCCESS),
        Some(Ok(StopReason::Failed(why))) => Err(Failure::Stopped { why }),
        Some(Err(failure)) => Err(failure),
    }
}

async fn serve(agent: &Agent, dir: &Dir, format: Output) -> Result<StopReason, Failure> {
    match clock::timeout(READY_MAX, agent.node().ready()).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Ok(agent.stopped().await),
        Err(_) => return Err(Failure::NotReady { after: READY_MAX }),
    }
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
    Ok(agent.stopped().await)
}

/// IPv4 first: a name like `localhost` has both, and gRPC is on 127.0.0.1.
async fn resolved(addr: &HostPort) -> Result<SocketAddr, Failure> {
    let failed = |why| Failure::HttpAddr { given: addr.to_string(), why };
    let found = tokio::net::lookup_host((addr.host.as_str(), addr.port)).await;
    let mut found: Vec<SocketAddr> = found.map_err(|error| failed(error.to_string()))?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| failed("the name has no address".to_owned()))
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
}

impl Dir {
    fn choose(given: Option<&Path>) -> Result<Dir, Failure> {
        match given {
            Some(path) => std::path::absolute(path).map(Dir::Given).map_err(|error| Failure::Dir { error }),
            None => tempfile::Builder::new()
                .prefix("seedlog-dev-")
                .tempdir()
                .map(Dir::Temporary)
                .map_err(|error| Failure::Dir { error }),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Dir::Given(path) => path,
            Dir::Temporary(dir) => dir.path(),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Dir::Temporary(_))
    }
}
