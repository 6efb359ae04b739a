//! Machines that lose their disks, and nodes that leave: what an operator may do to a cluster, one after the other.

use super::{Action, Supervisor};
use crate::world::now_ns;
use madsim::runtime::Handle;
use seedlog_log::EntryId;

/// A node that leaves first hands the leadership over, asks, and waits for the answer; then it stops.
const LEAVE_MAX_MS: u64 = 45_000;
/// How often is looked whether a node that was to leave has been taken out.
const SEE_DEPARTED_MS: u64 = 300;

/// A node that was asked to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departed {
    node_id: u64,
    /// It was a voter for certain by this entry.
    since: EntryId,
}

impl Supervisor {
    /// The entry that made all machines the voters, if nothing is done to who they are, or what they have, at the moment.
    pub(super) fn untouched(&self) -> Option<EntryId> {
        let changes = self.mending || self.nodes.iter().any(|node| node.departed.is_some());
        let touched = changes || self.misleading || self.hurt.is_some();
        if touched { None } else { self.world.whole_since() }
    }

    pub(super) fn wipe(&mut self, at: usize, down_ms: u64) {
        if self.untouched().is_none() {
            return;
        }
        self.world.fired("wipe");
        self.new_disk(at);
        self.after_ms(down_ms, Action::Restart { at });
    }

    pub(super) fn new_disk(&mut self, at: usize) {
        self.crash(at, None);
        let node = &mut self.nodes[at];
        (node.armed, node.full, node.failing, node.departed) = (None, false, 0, None);
        node.forget_answer();
        node.machine.disk.wipe();
        let number = node.machine.number;
        self.world.event(format!("node {number} has a new disk"));
        self.world.forget(number);
        self.mending = true;
    }

    pub(super) fn leave(&mut self, at: usize, down_ms: u64) {
        let Some(since) = self.untouched() else { return };
        let node = &mut self.nodes[at];
        let (Some(agent), None) = (self.world.agent(node.machine.number), node.stopping) else { return };
        let Some(handle) = Handle::current().get_node(node.machine.id) else { return };
        self.world.fired("leave");
        node.stopping = Some(down_ms);
        node.departed = Some(Departed { node_id: agent.identity().node_id, since });
        let life = node.machine.life();
        // That it stops is seen; whether it is out, too.
        drop(handle.spawn(async move { agent.leave().await }));
        self.at(now_ns() + LEAVE_MAX_MS * 1_000_000, Action::ShutdownMustBeOver { at, life });
        self.after_ms(SEE_DEPARTED_MS, Action::SeeDeparted { at });
    }

    /// Whether it is out, for certain: then its disk is of no use any more. If it is not, it may still come to
    /// that: the request may be under way. Meanwhile it is started again as if nothing had been.
    pub(super) fn see_departed(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(Departed { node_id, since }) = node.departed else { return };
        if node.stopping.is_none() && self.world.is_out(node_id, since) {
            self.world.fired("taken_out");
            self.new_disk(at);
            self.after_ms(SEE_DEPARTED_MS, Action::Restart { at });
        } else {
            self.after_ms(SEE_DEPARTED_MS, Action::SeeDeparted { at });
        }
    }

    /// Whether all vote again.
    pub(super) fn see_whole(&mut self) {
        if self.mending && self.world.whole_since().is_some() {
            self.mending = false;
            self.world.fired("whole_again");
        }
    }
}
