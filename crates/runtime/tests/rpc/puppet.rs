//! A log that does as the request says, and counts who is being served.

use futures_util::stream::{self, BoxStream, StreamExt};
use seedlog_api::ApiError;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::log_server::{Log, LogServer};
use seedlog_api::v1::{
    ConsumeRequest, ConsumeResponse, GetServersRequest, GetServersResponse, ProduceRequest, ProduceResponse, Record,
    Server,
};
use seedlog_runtime::rpc::{Listener, Services, channel, wire, wire_stream};
use seedlog_runtime::{clock, spawn, watch};
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// A `Consume` of this offset is answered after [`SLOW`], of this one never.
pub const OFFSET_SLOW: u64 = 1000;
pub const OFFSET_NEVER: u64 = 2000;
pub const OFFSET_OUT_OF_RANGE: u64 = 3000;
/// A consume stream from here never ends; others yield as many records as their offset says.
pub const OFFSET_ENDLESS: u64 = 4000;
pub const SLOW: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct Puppet {
    serving: watch::Sender<usize>,
    /// How the last produce stream ended.
    pub stream_end: watch::Sender<Option<Result<(), tonic::Code>>>,
}

impl Puppet {
    pub fn new() -> Puppet {
        Puppet { serving: watch::channel(0).0, stream_end: watch::channel(None).0 }
    }

    pub fn services(&self) -> Services {
        Services::new().add(LogServer::new(self.clone()))
    }

    /// Returns when so many calls are being served.
    pub async fn until_serving(&self, calls: usize) {
        let mut serving = self.serving.subscribe();
        let reached = serving.wait_for(|serving| *serving == calls);
        clock::timeout(Duration::from_secs(10), reached).await.expect("in time").expect("the puppet is alive");
    }

    fn enter(&self) -> Guard {
        self.serving.send_modify(|serving| *serving += 1);
        Guard(self.serving.clone())
    }
}

/// Lives as long as the handler.
struct Guard(watch::Sender<usize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|serving| *serving -= 1);
    }
}

fn record(offset: u64) -> Result<ConsumeResponse, Status> {
    wire(ConsumeResponse { record: Some(Record { offset, ..Default::default() }), ..Default::default() })
}

#[async_trait]
impl Log for Puppet {
    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let request = wire(request.into_inner())?;
        let bytes = request.record.ok_or(ApiError::EmptyRequest)?.value.len();
        wire(ProduceResponse { offset: bytes as u64, ..Default::default() }).map(Response::new)
    }

    async fn consume(&self, request: Request<ConsumeRequest>) -> Result<Response<ConsumeResponse>, Status> {
        let _serving = self.enter();
        match request.into_inner().offset {
            OFFSET_OUT_OF_RANGE => {
                Err(ApiError::OffsetOutOfRange { asked: OFFSET_OUT_OF_RANGE, first: 0, next: 3 }.into())
            }
            OFFSET_NEVER => pending().await,
            OFFSET_SLOW => {
                clock::sleep(SLOW).await;
                record(OFFSET_SLOW).map(Response::new)
            }
            offset => record(offset).map(Response::new),
        }
    }

    type ConsumeStreamStream = BoxStream<'static, Result<ConsumeResponse, Status>>;

    async fn consume_stream(
        &self,
        request: Request<ConsumeRequest>,
    ) -> Result<Response<Self::ConsumeStreamStream>, Status> {
        let serving = self.enter();
        let records = match request.into_inner().offset {
            OFFSET_OUT_OF_RANGE => return Err(ApiError::NoLeader.into()),
            OFFSET_ENDLESS => stream::once(async { record(0) }).chain(stream::pending()).boxed(),
            end => stream::iter((0..end).map(record)).boxed(),
        };
        Ok(Response::new(
            records
                .map(move |record| {
                    let _serving = &serving;
                    record
                })
                .boxed(),
        ))
    }

    type ProduceStreamStream = BoxStream<'static, Result<ProduceResponse, Status>>;

    /// Answers each request with its length; a request without a record ends the stream with an error.
    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let (answers, answered) = tokio::sync::mpsc::unbounded_channel();
        let puppet = self.clone();
        spawn(async move {
            let mut requests = Box::pin(wire_stream(request.into_inner()));
            let end = loop {
                match requests.next().await {
                    None => break Ok(()),
                    Some(Err(status)) => break Err(status.code()),
                    Some(Ok(request)) => _ = answers.send(puppet.produce(Request::new(request)).await),
                }
            };
            puppet.stream_end.send(Some(end));
        });
        let answers = stream::unfold(answered, |mut answered| async {
            let answer = answered.recv().await?;
            Some((answer.map(Response::into_inner), answered))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn get_servers(&self, request: Request<GetServersRequest>) -> Result<Response<GetServersResponse>, Status> {
        let peer = request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        let server = Server { rpc_addr: peer, ..Default::default() };
        Ok(Response::new(GetServersResponse { servers: vec![server], strangers: Vec::new() }))
    }
}

/// A puppet on this node; it serves until the sender says so or is gone.
pub async fn serve(puppet: &Puppet, address: &str) -> Serving {
    let listener = Listener::bind(address).await.expect("the port is free");
    let local_addr = listener.local_addr();
    let (stop, mut stopped) = watch::channel(false);
    let services = puppet.services();
    let served = spawn(async move {
        let shutdown = async { _ = stopped.wait_for(|stop| *stop).await };
        listener.serve(services, shutdown).await.expect("serving does not fail");
    });
    Serving { local_addr, stop, served }
}

pub struct Serving {
    pub local_addr: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub served: seedlog_runtime::JoinHandle<()>,
}

pub fn client(address: impl ToString) -> LogClient<Channel> {
    LogClient::new(channel(&address.to_string()).expect("an address"))
}

pub fn consume(offset: u64) -> ConsumeRequest {
    ConsumeRequest { offset, ..Default::default() }
}

pub fn produce(value: &'static str) -> ProduceRequest {
    ProduceRequest { record: Some(Record { value: value.into(), ..Default::default() }), ..Default::default() }
}
