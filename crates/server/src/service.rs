//! What every road in (gRPC, HTTP) shares: the node, the limits, and the way out.

use crate::heard::{Heard, Hearsay};
use crate::limits::Limits;
use crate::stopping::Stopping;
use seedlog_raft::Node;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One node's log as clients see it. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    cluster_id: u128,
    rpc_addr: String,
    limits: Limits,
    stopping: Stopping,
    hearsay: Box<dyn Hearsay>,
    was_without_room: AtomicBool,
}

impl Service {
    /// `rpc_addr` is where the node says that it can be reached.
    pub fn new(
        node: Node,
        cluster_id: u128,
        rpc_addr: String,
        limits: Limits,
        stopping: Stopping,
        hearsay: Box<dyn Hearsay>,
    ) -> Service {
        let was_without_room = AtomicBool::new(false);
        Service { shared: Arc::new(Shared { node, cluster_id, rpc_addr, limits, stopping, hearsay, was_without_room }) }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.shared.node
    }

    pub(crate) fn cluster_id(&self) -> u128 {
        self.shared.cluster_id
    }

    pub(crate) fn rpc_addr(&self) -> &str {
        &self.shared.rpc_addr
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn stopping(&self) -> &Stopping {
        &self.shared.stopping
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.hearsay.heard()
    }

    /// True for the first who asks.
    pub(crate) fn is_first_without_room(&self) -> bool {
        !self.shared.was_without_room.swap(true, Ordering::Relaxed)
    }
}
