//! The HTTP side of an agent. Compiled with the feature `http` only.

use crate::error::StartError;
use seedlog_server::http::HttpListener;
use std::net::SocketAddr;

pub async fn bind(addr: SocketAddr) -> Result<HttpListener, StartError> {
    HttpListener::bind(addr).await.map_err(|error| StartError::Listen { what: "HTTP", addr, error })
}
