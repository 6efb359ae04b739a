//! Who leads, as far as this node knows. A hint: only a majority's answer makes it a fact.

use crate::error::LeaderHint;
use crate::node::Node;
use crate::types::TypeConfig;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::ForwardToLeader;
use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::select;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leading {
    Here,
    There(LeaderHint),
    Nobody,
}

impl Node {
    pub(crate) fn leader_now(&self) -> Leading {
        let seen = self.server_metrics().borrow_watched();
        match seen.current_leader {
            None => Leading::Nobody,
            Some(leader) if leader == self.config().node_id => Leading::Here,
            Some(leader) => {
                let known = seen.membership_config.membership().get_node(&leader);
                let known = known.map_or("", |peer| peer.rpc_addr.as_str());
                let rpc_addr = self.addresses().of(leader, known);
                // One whose address nobody knows is of no use.
                if rpc_addr.is_empty() {
                    return Leading::Nobody;
                }
                Leading::There(LeaderHint { node_id: leader, rpc_addr })
            }
        }
    }

    /// Who leads, if that is known and another node.
    pub fn leader_elsewhere(&self) -> Option<LeaderHint> {
        match self.leader_now() {
            Leading::There(leader) => Some(leader),
            Leading::Here | Leading::Nobody => None,
        }
    }

    /// Waits for a leader until `deadline`.
    pub(crate) async fn leader(&self, deadline: Instant) -> Leading {
        self.leader_but(None, deadline).await
    }

    /// Who leads, once that is somebody else than `tried`, who did not take the call; or the same again, a
    /// heartbeat later: a leader takes nothing before a majority has confirmed it, nor while it has lost one.
    pub(crate) async fn leader_but(&self, tried: Option<&Leading>, deadline: Instant) -> Leading {
        if tried.is_none()
            && let now @ (Leading::Here | Leading::There(_)) = self.leader_now()
        {
            return now;
        }
        let mut seen = self.raft().server_metrics();
        let again = clock::now() + self.config().heartbeat;
        let known = async {
            loop {
                let now = self.leader_now();
                let same = Some(&now) == tried && clock::now() < again;
                if now != Leading::Nobody && !same {
                    return now;
                }
                select! {
                    // Raft is being shut down: nobody is going to lead, and the stop below says so soon. To answer
                    // at once would have whoever tries again try without end.
                    changed = seen.changed() => if changed.is_err() {
                        return std::future::pending().await;
                    },
                    () = clock::sleep_until(again), if same => {}
                }
            }
        };
        select! {
            now = known => now,
            _ = self.stopped() => Leading::Nobody,
            () = clock::sleep_until(deadline) => Leading::Nobody,
        }
    }
}

pub fn hint(forward: ForwardToLeader<TypeConfig>) -> Option<LeaderHint> {
    let peer = forward.leader_node?;
    Some(LeaderHint { node_id: forward.leader_id?, rpc_addr: peer.rpc_addr })
}
