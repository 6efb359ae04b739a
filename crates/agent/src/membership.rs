//! What gossip tells this node's Raft, and what Raft tells gossip. Ends with the node.

use seedlog_gossip::{Gossip, Members};
use seedlog_log::DataDir;
use seedlog_raft::{Addresses, Node};
use seedlog_runtime::{blocking, watch};
use std::sync::{Arc, Mutex};

/// The others are dialled where they were last heard of. Ends with the gossip.
pub async fn follow_addresses(addresses: Addresses, cluster_id: u128, mut seen: watch::Receiver<Arc<Members>>) {
    loop {
        for known in seen.borrow_and_update().others.values() {
            if known.is_alive() && known.member.cluster_id == cluster_id {
                addresses.set(known.member.node_id, &known.member.rpc_addr);
            }
        }
        if seen.changed().await.is_err() {
            return;
        }
    }
}

/// Once it is a member, for certain, the node does not ask to be one any more, whatever becomes of it.
pub async fn note_member(node: Node, data_dir: Arc<Mutex<DataDir>>, gossip: Option<Gossip>) {
    if data_dir.lock().expect("no holder panics").was_member() {
        return;
    }
    if node.committed_member().await.is_err() {
        return;
    }
    let noted = blocking(move || data_dir.lock().expect("no holder panics").note_member()).await;
    match noted {
        Ok(()) => {
            if let Some(gossip) = gossip {
                gossip.set_joining(false);
            }
        }
        // It asks again after the next start, and is a member already.
        Err(error) => tracing::warn!(%error, "it could not be noted that this node is a member"),
    }
}
