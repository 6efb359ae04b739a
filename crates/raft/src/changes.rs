//! Waking whoever watches the cluster from this node, when there is news and not before.

use crate::node::Node;
use crate::stop::StopReason;
use crate::types::{self, TypeConfig};
use openraft::RaftMetrics;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use seedlog_runtime::select;
use std::future::pending;

/// What changes rarely: who leads, who belongs to the cluster. And what changes with every record: how far the
/// others are.
pub struct Changes {
    rare: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
    all: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
}

impl Node {
    /// From now on.
    pub fn changes(&self) -> Changes {
        Changes { rare: self.raft().server_metrics(), all: self.raft().metrics() }
    }

    /// Returns when the membership that is known to be committed has this node.
    ///
    /// # Errors
    /// If the node stops first.
    pub async fn committed_member(&self) -> Result<(), StopReason> {
        let mut rare = self.raft().server_metrics();
        while !self.is_committed_member() {
            // It may be committed, and not applied yet: then the fold tells.
            let committed = rare.borrow_watched().committed_membership_config.log_id().as_ref().map(types::entry_id);
            select! {
                reason = self.stopped() => return Err(reason),
                changed = rare.changed() => if changed.is_err() {
                    return Err(self.stopped().await);
                },
                _ = self.progress().wait_for(|applied| applied.last >= committed), if !self.has_applied(committed) => {}
            }
        }
        Ok(())
    }
}

impl Changes {
    /// Returns when another node leads than before, or the membership is another one, and [`Node::status`] says so.
    /// Never, once Raft has ended.
    pub async fn cluster_changed(&mut self) {
        if self.rare.changed().await.is_err() {
            pending().await
        }
        // What the status is made of is published a little later.
        loop {
            let rare = self.rare.borrow_watched().clone();
            let is_told = {
                let all = self.all.borrow_watched();
                (all.state, all.current_leader) == (rare.state, rare.current_leader)
                    && all.membership_config == rare.membership_config
            };
            if is_told {
                return;
            }
            if self.all.changed().await.is_err() {
                pending().await
            }
        }
    }

    /// Returns when anything has changed, such as how far another node's log is. Under load that is often.
    pub async fn anything_changed(&mut self) {
        if self.all.changed().await.is_err() {
            pending().await
        }
    }
}
