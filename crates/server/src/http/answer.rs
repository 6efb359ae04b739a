//! JSON out: one object and a newline, as Go's encoder writes it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

pub fn json(answer: &impl Serialize) -> Response {
    json_with(StatusCode::OK, answer)
}

pub fn json_with(status: StatusCode, answer: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(answer).expect("strings and numbers always encode");
    body.push(b'\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// To a gRPC client that has the wrong port, in its own language: a status without a body.
pub fn not_grpc(rpc_addr: &str) -> Response {
    let message = format!("this port is for HTTP/JSON, gRPC is at {rpc_addr}");
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(tonic::Code::Unimplemented as i32));
    headers.insert("grpc-message", HeaderValue::try_from(message).expect("an address is plain text"));
    response
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The status, and the body as text.
    pub async fn text(response: Response) -> (u16, String) {
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
