//! What there is: paths, methods, and whom they call.

use super::body::{self, NO_BODY};
use super::failure::Failure;
use super::query::Query;
use super::{admin, answer, chapter_1, events, health, metrics, openapi, records, servers};
use crate::front::Stage;
use crate::service::Service;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use bytes::Bytes;
use seedlog_api::ApiError;
use seedlog_raft::Tally;
use seedlog_runtime::clock;
use std::time::Duration;

/// A request has to be answered within this time, once its body is there; what it asks us to wait comes on top.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    ProduceOne,
    ConsumeOne,
    Produce,
    Consume,
    Tail,
    Servers,
    Describe,
    Trim,
    Retention,
    SetRetention,
    Fence,
    RemoveServer,
    ReplaceServer,
    TransferLeader,
    OpenApi,
    Live,
    Ready,
    Metrics,
}

pub static ROUTES: &[(&str, Method, Endpoint)] = &[
    ("/", Method::GET, Endpoint::ConsumeOne),
    ("/", Method::POST, Endpoint::ProduceOne),
    ("/v1/records", Method::GET, Endpoint::Consume),
    ("/v1/records", Method::POST, Endpoint::Produce),
    ("/v1/tail", Method::GET, Endpoint::Tail),
    ("/v1/servers", Method::GET, Endpoint::Servers),
    ("/v1/describe", Method::GET, Endpoint::Describe),
    ("/v1/trim", Method::POST, Endpoint::Trim),
    ("/v1/retention", Method::GET, Endpoint::Retention),
    ("/v1/retention", Method::PUT, Endpoint::SetRetention),
    ("/v1/fence", Method::PUT, Endpoint::Fence),
    ("/v1/remove-server", Method::POST, Endpoint::RemoveServer),
    ("/v1/replace-server", Method::POST, Endpoint::ReplaceServer),
    ("/v1/transfer-leader", Method::POST, Endpoint::TransferLeader),
    ("/v1/openapi.json", Method::GET, Endpoint::OpenApi),
    ("/livez", Method::GET, Endpoint::Live),
    ("/readyz", Method::GET, Endpoint::Ready),
    ("/metrics", Method::GET, Endpoint::Metrics),
];

impl Endpoint {
    /// The names of its query parameters; none: chapter 1, which never looked at a query.
    pub(super) fn parameters(self) -> Option<&'static [&'static str]> {
        match self {
            Endpoint::ProduceOne | Endpoint::ConsumeOne => None,
            Endpoint::Consume => Some(records::PARAMETERS),
            Endpoint::Tail => Some(events::PARAMETERS),
            _ => Some(&[]),
        }
    }

    fn takes_body(self) -> bool {
        use Endpoint::{ConsumeOne, Fence, Produce, ProduceOne, SetRetention, Trim};
        use Endpoint::{RemoveServer, ReplaceServer, TransferLeader};
        matches!(self, ConsumeOne | Fence | Produce | ProduceOne | SetRetention | Trim)
            || matches!(self, RemoveServer | ReplaceServer | TransferLeader)
    }

    fn writes(self) -> bool {
        self.takes_body() && self != Endpoint::ConsumeOne
    }
}

pub async fn answer(stage: Stage, request: Request) -> Response {
    route(stage, request).await.unwrap_or_else(Failure::into_response)
}

async fn route(stage: Stage, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.starts_with(b"application/grpc") {
        return Ok(answer::not_grpc(stage.rpc_addr()));
    }
    let endpoint = find(parts.uri.path(), &parts.method)?;
    let service = match stage {
        Stage::Serving(service) => service,
        Stage::Starting { what, tally, .. } => return starting(endpoint, what, &tally),
    };
    let query = match endpoint.parameters() {
        Some(known) => Query::parse(parts.uri.query(), known)?,
        None => Query::default(),
    };
    let body = match endpoint.takes_body() {
        true => body::read(body, &parts.headers, service.stopping()).await?,
        false if body::is_empty(&body) => NO_BODY,
        false => return Err(Failure::BodyUnasked { path: parts.uri.path().to_owned() }),
    };
    let after = ANSWER_DEADLINE + records::wait(&query, service.limits());
    clock::timeout(after, call(endpoint, service, &parts, &query, body))
        .await
        .unwrap_or(Err(Failure::NotAnswered { after, writes: endpoint.writes() }))
}

/// What can be said without a log.
fn starting(endpoint: Endpoint, what: String, tally: &Tally) -> Result<Response, Failure> {
    match endpoint {
        Endpoint::Live => Ok(health::live_while_starting()),
        Endpoint::Ready => Err(Failure::NotReady { reasons: vec!["STARTING"], what: Some(what) }),
        Endpoint::OpenApi => Ok(openapi::document()),
        Endpoint::Metrics => Ok(metrics::while_starting(tally)),
        _ => Err(ApiError::Starting { what }.into()),
    }
}

async fn call(
    endpoint: Endpoint,
    service: Service,
    parts: &Parts,
    query: &Query,
    body: Bytes,
) -> Result<Response, Failure> {
    match endpoint {
        Endpoint::ProduceOne => chapter_1::produce(&service, &body).await,
        Endpoint::ConsumeOne => chapter_1::consume(&service, &body).await,
        Endpoint::Produce => records::produce(&service, &body).await,
        Endpoint::Consume => records::consume(&service, query).await,
        Endpoint::Tail => events::tail(service, query, &parts.headers),
        Endpoint::Servers => Ok(servers::servers(&service).await),
        Endpoint::Describe => admin::describe(&service).await,
        Endpoint::Trim => admin::trim(&service, &body).await,
        Endpoint::Retention => admin::retention(&service).await,
        Endpoint::SetRetention => admin::set_retention(&service, &body).await,
        Endpoint::Fence => admin::fence(&service, &body).await,
        Endpoint::RemoveServer => admin::remove_server(&service, &body).await,
        Endpoint::ReplaceServer => admin::replace_server(&service, &body).await,
        Endpoint::TransferLeader => admin::transfer_leader(&service, &body).await,
        Endpoint::OpenApi => Ok(openapi::document()),
        Endpoint::Live => health::live(&service),
        Endpoint::Ready => health::ready(&service),
        Endpoint::Metrics => Ok(metrics::metrics(&service)),
    }
}

fn find(path: &str, method: &Method) -> Result<Endpoint, Failure> {
    let here: Vec<_> = ROUTES.iter().filter(|(at, _, _)| *at == path).collect();
    if here.is_empty() {
        let mut there_is: Vec<&str> = ROUTES.iter().map(|(at, _, _)| *at).collect();
        there_is.dedup();
        return Err(Failure::NoSuchPath { path: path.to_owned(), there_is: there_is.join(", ") });
    }
    match here.iter().find(|(_, takes, _)| takes == method) {
        Some((_, _, endpoint)) => Ok(*endpoint),
        None => {
            let allow = here.iter().map(|(_, takes, _)| takes.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::NoSuchMethod { method: method.to_string(), path: path.to_owned(), allow })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_table_is_found_and_nothing_else() {
        for (path, method, endpoint) in ROUTES {
            assert_eq!(find(path, method).ok(), Some(*endpoint), "{method} {path}");
        }
        for path in ["", "//", "/v1", "/v1/", "/v1/records/", "/V1/records", "/v1/records/0", "/v1%2Frecords"] {
            let message = find(path, &Method::GET).unwrap_err().to_string();
            assert!(message.contains(&format!("{path:?}")) && message.contains("/v1/records, /v1/tail"), "{message}");
        }
    }

    #[test]
    fn a_method_that_is_not_there_is_told_which_are() {
        let allowed = |path: &str| match find(path, &Method::DELETE) {
            Err(Failure::NoSuchMethod { allow, .. }) => allow,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(allowed("/"), "GET, POST");
        assert_eq!(allowed("/v1/retention"), "GET, PUT");
        assert_eq!(allowed("/livez"), "GET");
    }
}
