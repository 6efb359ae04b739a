//! What this node heard by gossip, for those who ask it about the cluster's servers.

use seedlog_gossip::{Member, Members, State};
use seedlog_runtime::watch;
use seedlog_server::{Heard, HeardState, Hearsay};
use std::sync::Arc;

pub struct Gossiped(pub watch::Receiver<Arc<Members>>);

impl Hearsay for Gossiped {
    fn heard(&self) -> Vec<Heard> {
        let members = self.0.borrow().clone();
        let others = members.others.values().map(|known| heard(&known.member, state(known.state)));
        others.chain([heard(&members.me, HeardState::Alive)]).collect()
    }
}

fn state(state: State) -> HeardState {
    match state {
        State::Alive => HeardState::Alive,
        State::Left { at } => HeardState::Left(at.elapsed()),
        State::Dead { since } => HeardState::Dead(since.elapsed()),
    }
}

fn heard(member: &Member, state: HeardState) -> Heard {
    Heard {
        node_id: member.node_id,
        name: member.name.clone(),
        rpc_addr: member.rpc_addr.clone(),
        gossip_addr: member.gossip_addr,
        cluster_id: Some(member.cluster_id).filter(|cluster_id| *cluster_id != 0),
        state,
    }
}
