//! gRPC's own figure: the log's service, messages and settings of the connection, and nothing kept.

use crate::error::{BenchError, io};
use crate::figures::value;
use futures_util::{Stream, StreamExt, stream};
use seedlog_api::v1::log_server::{Log, LogServer};
use seedlog_api::v1::{
    ConsumeRequest, ConsumeResponse, GetServersRequest, GetServersResponse, ProduceRequest, ProduceResponse, Record,
};
use std::io::Write as _;
use std::pin::Pin;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// As the node's listener has them, so that messages travel alike.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const FRAME_BYTES_MAX: u32 = 64 << 10;
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Prints its address, and serves until its stdin ends: never longer than who started it.
pub fn run() -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("tokio"))?;
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Whatever it says, it says it no more.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ended);
    });
    let served = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io("listen on 127.0.0.1"))?;
        println!("{}", listener.local_addr().map_err(io("its own address"))?);
        std::io::stdout().flush().map_err(io("stdout"))?;
        let service = LogServer::new(Echo)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .add_service(service)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
                let _ = end.await;
            });
        server.await.map_err(BenchError::from)
    });
    runtime.shutdown_background();
    served
}

struct Echo;

type Answers<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// As long as a log's answer would be.
fn answer(request: &ProduceRequest) -> ProduceResponse {
    let count = (request.records.len() as u32).max(1);
    ProduceResponse { offset: 1_000_000, count, ..ProduceResponse::default() }
}

#[tonic::async_trait]
impl Log for Echo {
    type ConsumeStreamStream = Answers<ConsumeResponse>;
    type ProduceStreamStream = Answers<ProduceResponse>;

    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        Ok(Response::new(answer(request.get_ref())))
    }

    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let answers = request.into_inner().map(|request| request.map(|request| answer(&request)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn consume(&self, _: Request<ConsumeRequest>) -> Result<Response<ConsumeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    /// Messages of `max_records` records of `max_bytes` bytes each, without end.
    async fn consume_stream(
        &self,
        request: Request<ConsumeRequest>,
    ) -> Result<Response<Self::ConsumeStreamStream>, Status> {
        let ConsumeRequest { max_records, max_bytes, .. } = request.into_inner();
        let record = Record {
            value: value(max_bytes).into(),
            offset: 1_000_000,
            term: 1,
            append_time_ms: 1_700_000_000_000,
            ..Record::default()
        };
        // As the node does, each message is put together when it is asked for.
        let answers = stream::repeat_with(move || {
            Ok(ConsumeResponse { record: None, records: vec![record.clone(); max_records as usize] })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_servers(&self, _: Request<GetServersRequest>) -> Result<Response<GetServersResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
