use super::gathering::Gathering;
use super::undecodable::Blaming;
use super::{CONNECTION_WINDOW_BYTES, DRAIN_MAX, FRAME_BYTES_MAX, Refusal, STREAM_WINDOW_BYTES};
use crate::{clock, watch};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
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

/// A bound port; connections queue up from now on.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local_addr: SocketAddr,
}

/// What a listener serves.
#[derive(Clone, Default)]
pub struct Services {
    routes: Routes,
    names: BTreeSet<&'static str>,
    refusal: Option<Refusal>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.names).finish()
    }
}

impl Services {
    pub fn new() -> Services {
        Services::default()
    }

    /// Calls of services that were not added are answered with what `refusal` says then. Without it they are
    /// unimplemented.
    #[must_use]
    pub fn refuse_others(self, refusal: Refusal) -> Services {
        Services { refusal: Some(refusal), ..self }
    }

    /// Adds a generated server, such as `LogServer::new(..)`.
    #[allow(clippy::should_implement_trait)]
    pub fn add<S>(mut self, service: S) -> Services
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.insert(S::NAME);
        Services { routes: self.routes.add_service(Blaming(service)), ..self }
    }

    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        if let Some(refusal) = &self.refusal {
            let name = request.uri().path().split('/').nth(1).unwrap_or_default();
            if !self.names.contains(name) {
                return std::future::ready(Ok(refusal().into_http())).boxed();
            }
        }
        self.routes.clone().call(request).boxed()
    }
}

/// Each call goes to what is served when it comes, also on a connection that was there before.
#[derive(Clone)]
struct Current {
    services: watch::Receiver<Services>,
}

impl Service<Request<Body>> for Current {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.services.borrow().call(request)
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
        self.serve_current(watch::channel(services).1, shutdown).await
    }

    /// As [`Listener::serve`], with services that may be exchanged: a call gets those that are there when it comes.
    pub async fn serve_current(
        self,
        services: watch::Receiver<Services>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
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
            .serve_with_incoming_shutdown(
                Current { services },
                TcpIncoming::from(self.listener).with_nodelay(Some(true)).map(|accepted| accepted.map(Gathering::new)),
                stop,
            );
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
