//! A leader that is cut off and goes on writing what nobody else will ever have; another one is voted for. When the two
//! meet, the first must take its last words back, and just then its power goes.

use super::{Action, Armed, Supervisor};
use crate::links::{Link, between, both_ways};
use crate::workload;
use crate::world::now_ns;
use seedlog_runtime::disk::sim::CrashAt;

/// It is looked so often whether another one leads.
const LOOK_EVERY_MS: u64 = 20;
/// What its own clients say to it: longer than what the others say first once they meet, so that some of it is still
/// behind that, if it was not taken back for good.
const LAST_WORDS_BYTES: usize = 2 << 10;
/// What is counted when its power went then.
pub(super) const GONE: &str = "outvoted_and_power_gone";

pub(super) struct Outvoting {
    number: u32,
    links: Vec<Link>,
    until_ns: u64,
    met: bool,
    after_ops: u64,
    at: CrashAt,
    armed: Armed,
}

impl Supervisor {
    pub(super) fn outvoted(&mut self, for_ms: u64, after_ops: u64, at: CrashAt, armed: Armed) {
        let Some((number, _)) = self.world.leader() else { return };
        self.world.fired("outvoted");
        let (here, others) = self.sides(&[number]);
        let links = both_ways(between(&here, &others));
        self.links.cut(&links);
        drop(tokio::spawn(workload::produce_there(self.world.clone(), number, here[0], LAST_WORDS_BYTES)));
        let until_ns = now_ns() + for_ms * 1_000_000;
        self.outvoting(Outvoting { number, links, until_ns, met: false, after_ops, at, armed });
    }

    pub(super) fn outvoting(&mut self, mut outvoting: Outvoting) {
        let is_over = now_ns() >= outvoting.until_ns;
        let is_outvoted = self.world.leader().is_some_and(|(leader, _)| leader != outvoting.number);
        let node = &mut self.nodes[outvoting.number as usize - 1];
        if !outvoting.met && (is_outvoted || is_over) {
            // At once: what the others say meanwhile would cover all of its last words.
            self.links.mend(&outvoting.links);
            outvoting.met = true;
            // Where another crash is to come, that one is enough.
            if node.armed.is_none() {
                node.armed = Some(outvoting.armed);
                node.machine.disk.arm_crash_once_shortened(outvoting.after_ops, outvoting.at);
            }
        }
        if outvoting.met && node.armed != Some(outvoting.armed) {
            return;
        }
        if is_over {
            node.armed = None;
            node.machine.disk.disarm_crash();
            return;
        }
        self.after_ms(LOOK_EVERY_MS, Action::Outvoting(outvoting));
    }
}
