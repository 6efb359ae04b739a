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
    limits: Limits,
    stopping: Stopping,
}

impl Service {
    pub fn new(node: Node, limits: Limits, stopping: Stopping) -> Service {
        Service { shared: Arc::new(Shared { node, limits, stopping }) }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.shared.node
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn stopping(&self) -> &Stopping {
        &self.shared.stopping
    }
}
