//! What an operator does to the membership by hand, while the autopilot is at it, too.

use super::{Action, Supervisor};
use crate::world::now_ns;
use madsim::runtime::Handle;
use seedlog_raft::Peer;

/// How often it is asked for, as long as it has not been done.
const ASK_EVERY_MS: u64 = 150;

#[derive(Debug, Clone, Copy)]
pub(super) struct Replacing {
    at: usize,
    old: u64,
    until_ns: u64,
}

impl Supervisor {
    /// A machine's disk is gone; whoever comes in its place is to vote in its place.
    pub(super) fn replace(&mut self, at: usize, down_ms: u64, for_ms: u64) {
        let number = self.nodes[at].machine.number;
        let (Some(_), Some(old)) = (self.untouched(), self.world.agent(number)) else { return };
        self.world.fired("replace");
        self.new_disk(at);
        self.after_ms(down_ms, Action::Restart { at });
        let old = old.identity().node_id;
        self.replacing(Replacing { at, old, until_ns: now_ns() + (down_ms + for_ms) * 1_000_000 });
    }

    pub(super) fn replacing(&mut self, replacing: Replacing) {
        let Replacing { at, old, until_ns } = replacing;
        if now_ns() >= until_ns || !self.mending {
            return;
        }
        self.after_ms(ASK_EVERY_MS, Action::Replacing(replacing));
        let machine = &self.nodes[at].machine;
        let Some(new) = self.world.agent(machine.number).map(|agent| agent.identity().node_id) else { return };
        let peer = Peer { name: machine.name(), rpc_addr: machine.address() };
        // Any node passes it on to the leader.
        let asked = self.nodes.iter().find(|node| node.ready && node.machine.number != machine.number);
        let Some((asked, agent)) = asked.and_then(|node| Some((node, self.world.agent(node.machine.number)?))) else {
            return;
        };
        let Some(handle) = Handle::current().get_node(asked.machine.id) else { return };
        let world = self.world.clone();
        // Refused, or done by the autopilot before: all must hold either way.
        drop(handle.spawn(async move {
            if agent.node().replace_member(old, new, Some(peer)).await.is_ok() {
                world.fired("replaced_by_an_operator");
            }
        }));
    }
}
