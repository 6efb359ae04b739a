//! HTTP/JSON for people with curl, as in chapter 1 of the book: `POST /` appends a record, `GET /` with
//! a body (yes) reads one, whatever the content type says.
//!
//! Not part of the simulation: it adds no way to the log that gRPC does not have.

mod answer;
mod request;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::service::Service;
use answer::Failure;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
pub use request::BadBody;
use seedlog_api::v1::{ConsumeRequest, ProduceRequest, Record};
use seedlog_runtime::clock;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// A body has to arrive within this time.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// And be answered within this one.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

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

    /// Serves until the service is stopping and every request under way is answered.
    ///
    /// # Errors
    /// If it can no longer accept.
    pub async fn serve(self, service: Service) -> io::Result<()> {
        let stopping = service.stopping().clone();
        let app = Router::new().fallback(handle).with_state(service);
        axum::serve(self.listener, app).with_graceful_shutdown(async move { stopping.wait().await }).await
    }
}

async fn handle(State(service): State<Service>, request: Request) -> Response {
    match route(service, request).await {
        Ok(answer) => answer,
        Err(failure) => failure.into_response(),
    }
}

async fn route(service: Service, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.starts_with(b"application/grpc") {
        return Ok(answer::not_grpc(service.rpc_addr()));
    }
    if parts.uri.path() != "/" {
        return Err(Failure::NoSuchPath { path: parts.uri.path().to_owned() });
    }
    if parts.method != Method::GET && parts.method != Method::POST {
        return Err(Failure::NoSuchMethod { method: parts.method.to_string() });
    }
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(body, announced).await?;
    let answered = async {
        if parts.method == Method::POST { produce(service, body).await } else { consume(service, body).await }
    };
    clock::timeout(ANSWER_DEADLINE, answered)
        .await
        .unwrap_or(Err(Failure::NotAnswered { after: ANSWER_DEADLINE, produce: parts.method == Method::POST }))
}

async fn read(body: Body, announced: Option<u64>) -> Result<Bytes, Failure> {
    if let Some(bytes) = announced.filter(|bytes| *bytes > MESSAGE_BYTES_MAX as u64) {
        return Err(Failure::BodyTooLarge { bytes });
    }
    let arrived = clock::timeout(BODY_DEADLINE, async {
        let mut chunks = body.into_data_stream();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            whole.extend_from_slice(&chunk.map_err(|error| Failure::BodyBroken { error: error.to_string() })?);
            if whole.len() > MESSAGE_BYTES_MAX {
                return Err(Failure::BodyTooLarge { bytes: whole.len() as u64 });
            }
        }
        Ok(whole.freeze())
    });
    arrived.await.unwrap_or(Err(Failure::BodyLate { after: BODY_DEADLINE }))
}

async fn produce(service: Service, body: Bytes) -> Result<Response, Failure> {
    let value = request::produce(&body)?;
    let record = Some(Record { value, ..Record::default() });
    let produced = service.produce(ProduceRequest { record, ..ProduceRequest::default() }).await?;
    Ok(answer::produced(produced.offset))
}

async fn consume(service: Service, body: Bytes) -> Result<Response, Failure> {
    let offset = request::consume(&body)?;
    let consumed = service.consume(ConsumeRequest { offset, ..ConsumeRequest::default() }).await?;
    Ok(answer::consumed(&consumed.record.unwrap_or_default()))
}
