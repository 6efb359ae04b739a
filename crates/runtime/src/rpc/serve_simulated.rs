//! Messages, as madsim-tonic's generated clients send and expect them:
//!
//! |          | single                                   | stream                                          |
//! |----------|------------------------------------------|-------------------------------------------------|
//! | request  | `(PathAndQuery, bool, Request<Box<M>>)`  | `(PathAndQuery, bool, Request<Box<()>>)`, `M`.. |
//! | response | `Result<Response<Box<M>>>`               | `Result<Response<()>>`, `Result<Box<M>>`.., `()`|
//!
//! The `bool` says whether the client expects a stream. One connection is one call.

use super::{DRAIN_MAX, Refusal};
use crate::sim::Moment;
use crate::{clock, sim, watch};
use futures_util::stream::{self, StreamExt};
use madsim::net::{Endpoint, Receiver, Sender, ToSocketAddrs};
use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, BoxMessage, BoxMessageStream, RequestExt, Service};
use tonic::transport::NamedService;
use tonic::{Code, Request, Response, Status};

/// A bound port; connections queue up from now on.
pub struct Listener {
    endpoint: Endpoint,
    local_addr: SocketAddr,
}

type Call = (PathAndQuery, Request<BoxMessageStream>);
type Answer = Response<BoxMessageStream>;
type AnyService = dyn Service<Call, Response = Answer, Error = Status, Future = BoxFuture<Answer, Status>> + Send;

/// What a listener serves.
#[derive(Clone, Default)]
pub struct Services {
    by_name: HashMap<&'static str, Arc<Mutex<AnyService>>>,
    refusal: Option<Refusal>,
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
        S: Service<Call, Response = Answer, Error = Status, Future = BoxFuture<Answer, Status>>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.by_name.insert(S::NAME, Arc::new(Mutex::new(service)));
        self
    }

    fn call(&self, path: PathAndQuery, request: Request<BoxMessageStream>) -> BoxFuture<Answer, Status> {
        let name = path.path().split('/').nth(1).unwrap_or_default();
        let Some(service) = self.by_name.get(name) else {
            let refused = self.refusal.as_ref().map_or_else(|| Status::unimplemented(""), |refusal| refusal());
            return Box::pin(async { Err(refused) });
        };
        let no_method = format!("no path: {path}");
        let answer = service.lock().expect("a generated server does not panic").call((path, request));
        Box::pin(async move {
            match answer.await {
                // The generated server's word for a method that it does not know; production says:
                Err(status) if status.code() == Code::InvalidArgument && status.message() == no_method => {
                    Err(Status::unimplemented(""))
                }
                answer => answer,
            }
        })
    }
}

/// How far the server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// What is under way is finished.
    Draining,
    /// It took too long.
    Cut,
}

impl Listener {
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Listener> {
        let endpoint = Endpoint::bind(address).await?;
        Ok(Listener { local_addr: endpoint.local_addr()?, endpoint })
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
        let (phase, seen_phase) = watch::channel(Phase::Serving);
        // Each connection holds a sender: the channel closes when the last one is done.
        let (under_way, mut all_done) = mpsc::channel::<()>(1);
        let accept = async {
            loop {
                let (tx, rx, peer_addr) = self.endpoint.accept1().await?;
                let connection = Connection {
                    services: services.clone(),
                    tx: Arc::new(tx),
                    local_addr: self.local_addr,
                    peer_addr,
                    phase: seen_phase.clone(),
                };
                let under_way = under_way.clone();
                crate::spawn(async move {
                    connection.run(rx).await;
                    drop(under_way);
                });
            }
        };
        crate::select! {
            () = shutdown => {}
            failed = accept => {
                let error: io::Result<std::convert::Infallible> = failed;
                return error.map(|never| match never {});
            }
        }
        drop(self.endpoint);
        drop(under_way);
        phase.send(Phase::Draining);
        if clock::timeout(DRAIN_MAX, all_done.recv()).await.is_err() {
            tracing::warn!(after = ?DRAIN_MAX, "calls were still under way at shutdown");
            phase.send(Phase::Cut);
        }
        Ok(())
    }
}

struct Connection {
    services: watch::Receiver<Services>,
    tx: Arc<Sender>,
    local_addr: SocketAddr,
    peer_addr: SocketAddr,
    phase: watch::Receiver<Phase>,
}

impl Connection {
    /// One call. Whatever waits here waits for this client only, and ends when the client is gone, or its connection.
    async fn run(self, rx: Receiver) {
        let open = sim::Open::new(self.peer_addr, self.local_addr);
        crate::select! {
            () = open.broken() => {}
            () = self.serve(rx) => {}
        }
    }

    async fn serve(self, mut rx: Receiver) {
        // What it sent before it went may be served all the same.
        let late = sim::is_served_late();
        let tx = self.tx.clone();
        let gone = async move { if late { std::future::pending().await } else { tx.closed().await } };
        let mut gone = std::pin::pin!(gone);
        let (mut draining, mut cut) = (self.phase.clone(), self.phase.clone());
        let first = crate::select! {
            () = &mut gone => return,
            _ = draining.wait_for(|phase| *phase >= Phase::Draining) => return,
            first = rx.recv() => first,
        };
        // Nothing: a client that only looked whether anybody listens.
        let Ok(first) = first else { return };
        if self.tx.is_closed() {
            sim::count_served_late();
        }
        sim::dawdle(self.peer_addr, self.local_addr).await;
        let first = first.downcast::<(PathAndQuery, bool, Request<BoxMessage>)>().expect("a call of madsim-tonic's");
        crate::select! {
            () = &mut gone => {}
            _ = cut.wait_for(|phase| *phase == Phase::Cut) => {}
            // An error here: the client went while it was being answered.
            _ = self.answer(*first, rx) => {}
        }
    }

    async fn answer(&self, call: (PathAndQuery, bool, Request<BoxMessage>), rx: Receiver) -> io::Result<()> {
        let (path, wants_stream, mut request) = call;
        request.set_tcp_connect_info(self.local_addr, self.peer_addr);
        let deadline = request.timeout();
        let tx = self.tx.clone();
        let seen = Seen { path: path.clone(), client: self.peer_addr, server: self.local_addr };
        if !sim::have(seen.call()) {
            return self.fail(&seen, Status::unimplemented(""), wants_stream).await;
        }
        let (arriving, known) = (seen.clone(), seen.clone());
        let (peer_addr, local_addr) = (self.peer_addr, self.local_addr);
        let again = Again { services: self.services.clone(), path: path.clone(), peer_addr, local_addr };
        let request = request.map(|message| {
            if message.is::<()>() {
                let mut again = Some(again);
                let late = move |message| async move {
                    sim::dawdle(peer_addr, local_addr).await;
                    message
                };
                let requests = messages(rx, tx).then(late).map(move |message| known.of_request(message?));
                let arrives = move |message: &Result<BoxMessage, Status>| {
                    again.take().into_iter().for_each(|again| again.perhaps(message));
                    arriving.arrives(message);
                };
                return requests.inspect(arrives).boxed();
            }
            let message = known.of_request(message);
            again.perhaps(&message);
            arriving.arrives(&message);
            stream::once(async { message }).boxed()
        });
        let answer = self.services.borrow().call(path, request);
        let answer = match deadline {
            None => answer.await,
            Some(deadline) => match clock::timeout(deadline, answer).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::cancelled("Timeout expired")),
            },
        };
        match answer {
            Err(status) => self.fail(&seen, status, wants_stream).await,
            Ok(answer) => {
                let (metadata, mut messages, extensions) = answer.into_parts();
                if !wants_stream {
                    let message = messages.next().await.expect("a unary call has one answer");
                    let message = message.and_then(|message| seen.of_answer(message));
                    seen.leaves(message.as_ref().map(|message| &**message as _));
                    let message = message.map(|m| Response::from_parts(metadata, m, extensions));
                    return self.answering(&seen, message.is_ok(), message).await;
                }
                self.send(Ok::<_, Status>(Response::from_parts(metadata, (), extensions))).await?;
                while let Some(message) = messages.next().await {
                    let message = message.and_then(|message| seen.of_answer(message));
                    let last = message.is_err();
                    seen.leaves(message.as_ref().map(|message| &**message as _));
                    self.answering(&seen, !last, message).await?;
                    if last {
                        return Ok(());
                    }
                }
                self.send(()).await
            }
        }
    }

    async fn fail(&self, seen: &Seen, status: Status, wants_stream: bool) -> io::Result<()> {
        seen.leaves(Err(&status));
        match wants_stream {
            true => self.send::<Result<Response<()>, Status>>(Err(status)).await,
            false => self.send::<Result<Response<BoxMessage>, Status>>(Err(status)).await,
        }
    }

    /// An answer. If it is no failure, a machine may go down before or after it.
    async fn answering<T: Send + Sync + 'static>(&self, seen: &Seen, is_ok: bool, message: T) -> io::Result<()> {
        if is_ok {
            sim::answering(seen.path.path(), Moment::Before).await;
        }
        self.send(message).await?;
        if is_ok {
            sim::answering(seen.path.path(), Moment::After).await;
        }
        Ok(())
    }

    async fn send<T: Send + Sync + 'static>(&self, message: T) -> io::Result<()> {
        sim::dawdle(self.local_addr, self.peer_addr).await;
        self.tx.send(Box::new(message)).await
    }
}

/// What it takes for a call to come a second time.
struct Again {
    services: watch::Receiver<Services>,
    path: PathAndQuery,
    peer_addr: SocketAddr,
    local_addr: SocketAddr,
}

impl Again {
    /// Serves `message` later once more, if the world wants it so. Nobody waits for that answer.
    fn perhaps(self, message: &Result<BoxMessage, Status>) {
        let twin = message.as_ref().ok().and_then(|message| sim::twin(&**message));
        let Some((message, late)) = twin else { return };
        drop(crate::spawn(async move {
            sim::sleep_world(late).await;
            let mut request = Request::new(stream::once(async { Ok(message) }).boxed());
            request.set_tcp_connect_info(self.local_addr, self.peer_addr);
            let answer = self.services.borrow().call(self.path, request);
            if let Ok(answer) = answer.await {
                answer.into_inner().for_each(|_| async {}).await;
            }
        }));
    }
}

/// Shows the messages of a call to whoever observes them: what both ends know of them.
#[derive(Clone)]
struct Seen {
    path: PathAndQuery,
    client: SocketAddr,
    server: SocketAddr,
}

impl Seen {
    fn call(&self) -> sim::Call<'_> {
        sim::Call { path: self.path.path(), client: self.client, server: self.server }
    }

    fn of_request(&self, message: BoxMessage) -> Result<BoxMessage, Status> {
        sim::common(self.call(), false, message)
    }

    fn of_answer(&self, message: BoxMessage) -> Result<BoxMessage, Status> {
        sim::common(self.call(), true, message)
    }

    fn arrives(&self, message: &Result<BoxMessage, Status>) {
        if let Ok(message) = message {
            self.show(self.client, self.server, false, Ok(&**message));
        }
    }

    fn leaves(&self, message: Result<&dyn Any, &Status>) {
        self.show(self.server, self.client, true, message);
    }

    fn show(&self, from: SocketAddr, to: SocketAddr, is_answer: bool, body: Result<&dyn Any, &Status>) {
        sim::message(&sim::Message { path: self.path.path(), from, to, is_answer, body });
    }
}

/// The request stream. Its end is clean only if the client still listens: one that was killed or cut
/// off must not look like one that had said all.
fn messages(rx: Receiver, tx: Arc<Sender>) -> BoxMessageStream {
    stream::unfold(Some((rx, tx)), |open| async move {
        let (mut rx, tx) = open?;
        if let Ok(message) = rx.recv().await {
            return Some((Ok(message), Some((rx, tx))));
        }
        // A killed client's tasks are dropped one by one: give the one that listens time to go, too.
        sim::sleep_world(Duration::from_millis(1)).await;
        tx.is_closed().then(|| (Err(Status::cancelled("the client went away")), None))
    })
    .boxed()
}
