use super::undecodable::Blaming;
use super::{CONNECTION_WINDOW_BYTES, DRAIN_MAX, STREAM_WINDOW_BYTES};
use crate::clock;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A client that is silent for so long is asked whether it is still there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;
/// Above HTTP/2's 16 KiB, so that a batch does not travel in crumbs.
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// A bound port; connections queue up from now on.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local_addr: SocketAddr,
}

/// What a listener serves.
#[derive(Debug, Clone, Default)]
pub struct Services {
    routes: Routes,
}

impl Services {
    pub fn new() -> Services {
        Services::default()
    }

    /// Adds a generated server, such as `LogServer::new(..)`.
    #[allow(clippy::should_implement_trait)]
    pub fn add<S>(self, service: S) -> Services
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Services { routes: self.routes.add_service(Blaming(service)) }
    }
}

impl Listener {
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Listener> {
        let listener = TcpListener::bind(address).await?;
        Ok(Listener { local_addr: listener.local_addr()?, listener })
    }

    /// With the port that was chosen, if it was left open.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`; then accepts nothing new, finishes what is under way (at most
    /// [`DRAIN_MAX`]) and returns.
    pub async fn serve(self, services: Services, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let stopping = Notify::new();
        let stop = async {
            shutdown.await;
            stopping.notify_one();
        };
        let serve = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_MAX))
            .add_routes(services.routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(self.listener).with_nodelay(Some(true)), stop);
        let out_of_patience = async {
            stopping.notified().await;
            clock::sleep(DRAIN_MAX).await;
        };
        crate::select! {
            served = serve => served.map_err(io::Error::other),
            () = out_of_patience => {
                tracing::warn!(after = ?DRAIN_MAX, "calls were still under way at shutdown");
                Ok(())
            }
        }
    }
}
