//! The HTTP side of an agent. Compiled with the feature `http` only.

use crate::error::StartError;
use seedlog_runtime::JoinHandle;
use seedlog_server::Service;
use seedlog_server::http::HttpListener;
use std::net::SocketAddr;

pub async fn bind(addr: SocketAddr) -> Result<HttpListener, StartError> {
    HttpListener::bind(addr).await.map_err(|error| StartError::Listen { what: "HTTP", addr, error })
}

pub fn serve(listener: HttpListener, service: Service) -> JoinHandle<()> {
    seedlog_runtime::spawn(listener.serve(service))
}
