//! A node in the foreground: started, said to be ready, stopped by a signal. What `agent` and `dev` share.

use crate::failure::Failure;
use crate::signals::Signals;
use seedlog_agent::{Agent, Config, StopReason};
use seedlog_runtime::clock;
use seedlog_runtime::disk::RealDisk;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs until the node stops or `signals` say so; `say_ready` is called once it serves.
pub async fn run(
    config: Config,
    mut signals: Signals,
    patience: Patience,
    say_ready: impl FnOnce(&Agent) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    // A node that waits for a cluster to join may wait long.
    let started = Agent::start_unless(config, Arc::new(RealDisk::new()), signals.next()).await?;
    let Some(agent) = started else { return Ok(ExitCode::SUCCESS) };
    let ended = seedlog_runtime::select! {
        () = signals.next() => None,
        reason = serve(&agent, patience, say_ready) => Some(reason),
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

/// What becomes of a node that is long not ready.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// It fails after this long.
    AtMost(Duration),
    /// It is said again after each such time: a leader may yet come.
    SayingSo(Duration),
}

async fn serve(
    agent: &Agent,
    patience: Patience,
    say_ready: impl FnOnce(&Agent) -> Result<(), Failure>,
) -> Result<StopReason, Failure> {
    loop {
        let (Patience::AtMost(after) | Patience::SayingSo(after)) = patience;
        match (clock::timeout(after, agent.node().ready()).await, patience) {
            (Ok(Ok(())), _) => break,
            (Ok(Err(_)), _) => return Ok(agent.stopped().await),
            (Err(_), Patience::AtMost(after)) => return Err(Failure::NotReady { after }),
            (Err(_), Patience::SayingSo(_)) => tracing::warn!("not ready: this node knows no leader"),
        }
    }
    say_ready(agent)?;
    Ok(agent.stopped().await)
}
