//! What every road in (gRPC, HTTP) shares: the node, the limits, and the way out.

use crate::limits::Limits;
use crate::stopping::Stopping;
use seedlog_raft::Node;
use std::sync::Arc;

/// One node's log as clients see it. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    cluster_id: u128,
    limits: Limits,
    stopping: Stopping,
}

impl Service {
    pub fn new(node: Node, cluster_id: u128, limits: Limits, stopping: Stopping) -> Service {
        Service { shared: Arc::new(Shared { node, cluster_id, limits, stopping }) }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.shared.node
    }

    pub(crate) fn cluster_id(&self) -> u128 {
        self.shared.cluster_id
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn stopping(&self) -> &Stopping {
        &self.shared.stopping
    }
}
