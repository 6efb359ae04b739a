//! What a node shows from the moment its ports are bound: that it lives, and why it does not serve yet; and from
//! one request to the next, its log. Nothing is bound again in between, and no connection is given up.

use crate::service::Service;
use crate::stopping::Stopping;
use seedlog_api::ApiError;
use seedlog_raft::Tally;
use seedlog_runtime::rpc::Services;
use seedlog_runtime::watch;
use std::sync::Arc;

/// How far the node is.
#[derive(Clone)]
pub enum Stage {
    /// There is no log to ask yet.
    Starting {
        /// What it is about, for people.
        what: String,
        rpc_addr: String,
        /// What the node has counted so far.
        tally: Tally,
    },
    Serving(Service),
}

#[cfg(feature = "http")]
impl Stage {
    pub(crate) fn rpc_addr(&self) -> &str {
        match self {
            Stage::Starting { rpc_addr, .. } => rpc_addr,
            Stage::Serving(service) => service.rpc_addr(),
        }
    }
}

/// What the listeners serve, in the hand of whoever starts the node.
pub struct Front {
    rpc_addr: String,
    tally: Tally,
    stopping: Stopping,
    stage: watch::Sender<Stage>,
    services: watch::Sender<Services>,
    /// What those are told who watch the node's health.
    healthy: watch::Sender<bool>,
}

impl Front {
    /// `rpc_addr` is where the node says that it can be reached; `what` is what it is about before it serves.
    pub fn new(rpc_addr: &str, what: &str, stopping: Stopping) -> Front {
        let (what, rpc_addr, tally) = (what.to_owned(), rpc_addr.to_owned(), Tally::default());
        let stage = Stage::Starting { what, rpc_addr: rpc_addr.clone(), tally: tally.clone() };
        let stage = watch::channel(stage).0;
        let healthy = watch::channel(false).0;
        let services = watch::channel(Services::new()).0;
        let front = Front { rpc_addr, tally, stopping, stage, services, healthy };
        front.also_serve(|services| services);
        front
    }

    /// Serves what `add` adds, before there is a log.
    pub fn also_serve(&self, add: impl FnOnce(Services) -> Services) {
        let seen = self.stage.clone();
        let refusal = move || match &*seen.borrow() {
            Stage::Starting { what, .. } => ApiError::Starting { what: what.clone() }.into(),
            // It was opened since the call was looked at.
            Stage::Serving(_) => ApiError::NoLeader.into(),
        };
        let services = add(Services::new()).refuse_others(Arc::new(refusal));
        self.services.send(crate::add_standard(services, None, self.healthy.subscribe()));
    }

    /// What it is about now, for people.
    pub fn is_about(&self, what: String) {
        let (rpc_addr, tally) = (self.rpc_addr.clone(), self.tally.clone());
        self.stage.send(Stage::Starting { what, rpc_addr, tally });
    }

    /// Where the node is to count, so that it is seen from the beginning.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// From here on the log is served, and what `add` adds to it.
    pub fn open(self, service: Service, add: impl FnOnce(Services) -> Services) {
        let Front { stopping, stage, services, healthy, .. } = self;
        let serves = crate::add_log(add(Services::new()), service.clone());
        services.send(crate::add_standard(serves, Some(&service), healthy.subscribe()));
        crate::follow_health(service.node().clone(), stopping, healthy);
        stage.send(Stage::Serving(service));
    }

    /// For a gRPC listener.
    pub fn services(&self) -> watch::Receiver<Services> {
        self.services.subscribe()
    }

    /// For an HTTP listener.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }
}
