//! A leader whose disk has no room for records hands over to a voter whose disk has; one that has lost some of its log,
//! and does not soon have it back, to a voter that has all of it.
//!
//! What another disk has is asked of its node at that moment: nothing is remembered that could be out of date. If
//! nobody has room, nobody is handed anything, so that full nodes do not pass the leadership round; and after each
//! attempt there is a pause.

use crate::node::Node;
use crate::status::{Member, Role, Status};
use seedlog_runtime::{blocking, clock, select};
use std::time::Duration;

/// How long a leader may lack some of its log.
const AILING_MAX: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Until the node stops.
pub async fn follow(node: Node) {
    let mut refused = node.refused_for_room().subscribe();
    loop {
        select! {
            _ = node.stopped() => return,
            changed = refused.changed() => if changed.is_err() {
                return;
            },
        }
        refused.borrow_and_update();
        select! {
            _ = node.stopped() => return,
            () = hand_over(&node) => {}
        }
        select! {
            _ = node.stopped() => return,
            () = clock::sleep(PAUSE) => {}
        }
    }
}

/// Until the node stops: what is lost is what a leader may have to give to others, or to apply.
pub async fn follow_damage(node: Node) {
    let mut ailing = node.store().healer().ailing();
    loop {
        let since = select! {
            _ = node.stopped() => return,
            ailing = ailing.wait_for(Option::is_some) => match ailing {
                Ok(since) => since.expect("it was waited for"),
                Err(_) => return,
            },
        };
        let late = select! {
            _ = node.stopped() => return,
            healed = ailing.wait_for(Option::is_none) => match healed {
                Ok(_) => false,
                Err(_) => return,
            },
            () = clock::sleep_until(since + AILING_MAX) => true,
        };
        if late {
            give_away(&node).await;
            select! {
                _ = node.stopped() => return,
                () = clock::sleep(PAUSE) => {}
            }
        }
    }
}

async fn give_away(node: &Node) {
    let status = node.status();
    if status.role != Role::Leader {
        return;
    }
    let Some(Member { node_id, .. }) = caught_up(&status).into_iter().next() else {
        tracing::info!("some of the log is damaged, and no voter has all of it");
        return;
    };
    tracing::warn!(to = format!("{node_id:016x}"), "some of the log is damaged: the leadership is handed over");
    if let Err(error) = node.transfer_here(Some(node_id)).await {
        tracing::warn!(%error, "the leadership was not handed over");
    }
}

async fn hand_over(node: &Node) {
    // By now there may be room again, or another leader.
    if node.status().role != Role::Leader || node.space().admit(node.config().produce_bytes_max as u64).await.is_ok() {
        return;
    }
    // Whoever takes over should not be full with the next call.
    let wanted = node.config().produce_bytes_max as u64;
    for Member { node_id, rpc_addr, .. } in caught_up(&node.status()) {
        match node.peers().room(node_id, &rpc_addr).await {
            Ok(room) if room >= wanted => {
                tracing::warn!(to = format!("{node_id:016x}"), "no room on this disk: the leadership is handed over");
                if let Err(error) = node.transfer_here(Some(node_id)).await {
                    tracing::warn!(%error, "the leadership was not handed over");
                }
                return;
            }
            Ok(room) => tracing::debug!(node_id, room, "it has no room either"),
            Err(error) => tracing::debug!(node_id, %error, "it does not say whether it has room"),
        }
    }
    tracing::info!("no room on this disk, and no voter that has the whole log says that it has room");
}

/// The voters that have all of the leader's log: one that lacks any of it could not win.
fn caught_up(status: &Status) -> Vec<Member> {
    let others = status.members.iter().filter(|member| member.voter && member.node_id != status.node_id);
    others.filter(|member| member.matched_index == status.last_index).cloned().collect()
}

impl Node {
    /// How many bytes of records this node's disk would take in.
    pub(crate) async fn room_for_records(&self) -> u64 {
        let space = self.space().clone();
        blocking(move || space.look()).await.saturating_sub(self.config().reserve_bytes)
    }
}
