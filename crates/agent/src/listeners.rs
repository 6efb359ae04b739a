//! The ports of a node, served from the moment they are bound.

use crate::config::Config;
use crate::error::StartError;
use seedlog_runtime::rpc::Listener;
use seedlog_runtime::{JoinHandle, clock};
use seedlog_server::{Front, Stopping};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is still being answered when a node stops has this long: over gRPC the listener sees to it
/// itself, a moment earlier.
const DRAIN_MAX: Duration = seedlog_runtime::rpc::DRAIN_MAX.saturating_add(Duration::from_millis(500));

/// Bound, not served yet.
pub struct Bound {
    rpc: Listener,
    #[cfg(feature = "http")]
    http: Option<seedlog_server::http::HttpListener>,
}

impl Bound {
    pub async fn bind(config: &Config) -> Result<Bound, StartError> {
        let addr = config.rpc_addr;
        let rpc = Listener::bind(addr).await;
        let rpc = rpc.map_err(|error| StartError::Listen { what: "gRPC", addr, error })?;
        #[cfg(feature = "http")]
        let http = match config.http_addr {
            Some(addr) => Some(crate::http::bind(addr).await?),
            None => None,
        };
        Ok(Bound {
            rpc,
            #[cfg(feature = "http")]
            http,
        })
    }

    /// Where others reach gRPC.
    pub fn advertised(&self, config: &Config) -> String {
        let rpc_addr = self.rpc.local_addr();
        config.rpc_advertised.as_ref().map_or_else(
            || rpc_addr.to_string(),
            |host| match host.parse::<IpAddr>() {
                // An IPv6 address has brackets.
                Ok(ip) => SocketAddr::new(ip, rpc_addr.port()).to_string(),
                Err(_) => format!("{host}:{}", rpc_addr.port()),
            },
        )
    }

    /// What `front` has to say, until `stopping` is set.
    pub fn serve(self, front: &Front, stopping: Stopping) -> Listeners {
        let rpc_addr = self.rpc.local_addr();
        let (services, stop) = (front.services(), stopping.clone());
        let rpc_task = seedlog_runtime::spawn(async move {
            if let Err(error) = self.rpc.serve_current(services, async move { stop.wait().await }).await {
                tracing::error!(%error, "the gRPC server has stopped");
            }
        });
        #[cfg(feature = "http")]
        let (tasks, http_addr) = match self.http {
            Some(http) => {
                let addr = http.local_addr();
                let http_task = seedlog_runtime::spawn(http.serve(front.stage(), stopping.clone()));
                (vec![rpc_task, http_task], Some(addr))
            }
            None => (vec![rpc_task], None),
        };
        #[cfg(not(feature = "http"))]
        let (tasks, http_addr) = (vec![rpc_task], None);
        Listeners { rpc_addr, http_addr, tasks, stopping }
    }
}

/// Served, until `stopping` is set.
pub struct Listeners {
    pub rpc_addr: SocketAddr,
    pub http_addr: Option<SocketAddr>,
    pub tasks: Vec<JoinHandle<()>>,
    pub stopping: Stopping,
}

impl Listeners {
    /// Gives the ports back.
    pub async fn stop(self) {
        self.stopping.set();
        drain(self.tasks).await;
    }
}

/// Waits for what is being answered, within bounds.
pub async fn drain(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        let abort = task.abort_handle();
        if clock::timeout(DRAIN_MAX, task).await.is_err() {
            tracing::warn!("still being answered after {DRAIN_MAX:?}: cut off");
            abort.abort();
        }
    }
}
