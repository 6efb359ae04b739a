//! Connections: accepted, served, and at the end drained.
//!
//! Our own loop over hyper, since axum's has no deadline for a request's head and waits for one that is half sent.
//! HTTP/2 is understood too, without TLS: not least for a gRPC client that has the wrong port.

use super::routes;
use crate::front::Stage;
use crate::stopping::Stopping;
use axum::body::Body;
use axum::extract::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use seedlog_runtime::{clock, watch};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request's head has to arrive within this time; an idle connection is closed after it.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Over HTTP/2 it is asked instead whether it is still there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_MAX: Duration = Duration::from_secs(10);
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// At a stop, a connection on which nothing is being answered has this long: for the rest of an answer to leave,
/// not for the rest of a request to come.
const IDLE_MAX_AT_STOP: Duration = Duration::from_millis(500);
/// What one connection may hold, in and out: the largest head, and how far an answer runs ahead of its socket.
const CONNECTION_BYTES_MAX: usize = 64 << 10;
/// Out of file descriptors, say: some come free only when somebody else is done.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A bound listener, not serving yet.
pub struct HttpListener {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl HttpListener {
    /// # Errors
    /// The operating system's, such as an address in use.
    pub async fn bind(addr: SocketAddr) -> io::Result<HttpListener> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        Ok(HttpListener { listener, local_addr })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stopping` is set and every request under way is answered. Dropped, it cuts them off. A request
    /// gets what the node is when it comes, also on a connection that was there before.
    pub async fn serve(self, stage: watch::Receiver<Stage>, stopping: Stopping) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = seedlog_runtime::select! {
                () = stopping.wait() => break,
                accepted = self.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve_connection(socket, stage.clone(), stopping.clone()));
                }
                // Its client hung up before it was looked at.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "no HTTP connection can be accepted at the moment");
                    clock::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

async fn serve_connection(socket: TcpStream, stage: watch::Receiver<Stage>, stopping: Stopping) {
    // Small answers, each of them waited for. A socket that cannot is slower, and no error.
    let _ = socket.set_nodelay(true);
    let requests = Arc::new(Requests::default());
    let counted = requests.clone();
    let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (stage, under_way) = (stage.borrow().clone(), UnderWay::new(counted.clone()));
        async move {
            let response = routes::answer(stage, request.map(Body::new)).await;
            drop(under_way);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder();
    let mut served = pin!(builder.serve_connection(TokioIo::new(socket), handler));
    let ended = seedlog_runtime::select! {
        ended = served.as_mut() => Some(ended),
        () = stopping.wait() => None,
        () = requests.are_late() => return,
    };
    if let Some(ended) = ended {
        if let Err(error) = ended {
            tracing::debug!(error, "an HTTP connection broke off");
        }
        return;
    }
    served.as_mut().graceful_shutdown();
    while clock::timeout(IDLE_MAX_AT_STOP, served.as_mut()).await.is_err() {
        if requests.under_way.load(Ordering::Relaxed) == 0 {
            tracing::debug!("an HTTP request that was half sent was given up at the stop");
            return;
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(CONNECTION_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_send_buf_size(CONNECTION_BYTES_MAX);
    builder
}

/// Of one connection.
#[derive(Default)]
struct Requests {
    came: AtomicUsize,
    under_way: AtomicUsize,
}

impl Requests {
    /// Returns if the first one has not come in time. Before it, whether this is HTTP/2 is open, and hyper waits.
    async fn are_late(&self) {
        clock::sleep(HEAD_DEADLINE).await;
        if self.came.load(Ordering::Relaxed) > 0 {
            pending().await
        }
    }
}

/// A request that came and is not answered yet.
struct UnderWay(Arc<Requests>);

impl UnderWay {
    fn new(requests: Arc<Requests>) -> UnderWay {
        requests.came.fetch_add(1, Ordering::Relaxed);
        requests.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(requests)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
