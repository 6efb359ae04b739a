//! The node that is driven: a running one, or one of its own.

use crate::bench::BenchError;
use crate::failure::Failure;
use seedlog_agent::{Agent, Config};
use seedlog_runtime::clock;
use seedlog_runtime::disk::RealDisk;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// An empty log is ready at once.
const READY_MAX: Duration = Duration::from_secs(30);

pub struct OwnNode {
    agent: Agent,
    dir: TempDir,
}

impl OwnNode {
    /// On a free port, in a new directory inside `parent`.
    pub async fn start(parent: Option<&Path>) -> Result<OwnNode, Failure> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let parent = std::path::absolute(parent).map_err(|error| Failure::Dir { error })?;
        let dir = tempfile::Builder::new().prefix("seedlog-bench-").tempdir_in(&parent);
        let dir = dir.map_err(|error| Failure::Bench(BenchError::Dir { parent: parent.clone(), error }))?;
        let config = Config::new(dir.path().to_owned(), (Ipv4Addr::LOCALHOST, 0).into());
        let agent = Agent::start(config, Arc::new(RealDisk::new())).await?;
        match clock::timeout(READY_MAX, agent.node().ready()).await {
            Ok(Ok(())) => Ok(OwnNode { agent, dir }),
            Ok(Err(why)) => Err(Failure::Stopped { why: why.to_string() }),
            Err(_) => Err(Failure::NotReady { after: READY_MAX }),
        }
    }

    pub fn addr(&self) -> String {
        self.agent.rpc_addr().to_string()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub async fn shutdown(self) {
        self.agent.shutdown().await;
    }
}

/// The type of the file system that `path` is on, as the kernel names it; `None` where it does not say.
pub fn file_system(path: &Path) -> Option<String> {
    // Not the node's data: what the kernel says of its mounts.
    #[allow(clippy::disallowed_methods, reason = "not a file of the log")]
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((PathBuf::from(fields.next()?), fields.next()?))
    });
    // The longest of the mount points above it; the last one mounted there.
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind.to_owned())
}
