//! `grpc.health.v1`: serving means that this node leads or knows a leader, and is not stopping. A full
//! disk is no reason not to serve: what is there can be read. Whoever watches from before there is a log goes on.
//!
//! Not part of the simulation, which has no such service.

use crate::service::Service;
use crate::stopping::Stopping;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use seedlog_api::v1::{admin_service_server, log_server};
use seedlog_raft::Node;
use seedlog_runtime::rpc::Services;
use seedlog_runtime::{select, watch};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Without a service it does not serve yet.
pub fn add_health(services: Services, service: Option<&Service>, serving: watch::Receiver<bool>) -> Services {
    services.add(HealthServer::new(Answers { service: service.cloned(), serving }))
}

/// Until the node stops: false is the last word.
pub async fn follow(node: Node, stopping: Stopping, serving: watch::Sender<bool>) {
    let until_stopped = async {
        while node.ready().await.is_ok() {
            serving.send(true);
            node.unready().await;
            serving.send(false);
        }
    };
    select! {
        () = stopping.wait() => {}
        () = until_stopped => {}
    }
    serving.send(false);
}

struct Answers {
    service: Option<Service>,
    /// What watchers are told; what is asked is looked up.
    serving: watch::Receiver<bool>,
}

impl Answers {
    fn serves(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.node().is_ready() && !service.stopping().is_set())
    }
}

/// Empty is the server as a whole.
fn is_known(service: &str) -> bool {
    ["", log_server::SERVICE_NAME, admin_service_server::SERVICE_NAME].contains(&service)
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl Health for Answers {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !is_known(service) {
            let name = log_server::SERVICE_NAME;
            let message = format!("no service {service:?} here; there is {name:?}, and \"\" for the whole server");
            return Err(Status::not_found(message));
        }
        Ok(Response::new(answer(status(self.serves()))))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.get_ref().service);
        let later = changes(self.serving.clone());
        let now = stream::iter([self.serves()]);
        let statuses = now
            .chain(later)
            .map(move |serving| if known { status(serving) } else { ServingStatus::ServiceUnknown })
            // Only news: what is unknown stays so, and is said once.
            .scan(None, |last, status| {
                let news = last.replace(status) != Some(status);
                std::future::ready(Some(news.then_some(status)))
            })
            .filter_map(std::future::ready);
        Ok(Response::new(statuses.map(|status| Ok(answer(status))).boxed()))
    }
}

/// Each value from now on; ends with the last, so that a node that stops waits for no watcher.
fn changes(serving: watch::Receiver<bool>) -> impl futures_util::Stream<Item = bool> + Send {
    stream::unfold(serving, async |mut serving| {
        serving.changed().await.ok()?;
        let now = *serving.borrow_and_update();
        Some((now, serving))
    })
}
