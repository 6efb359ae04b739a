//! A node whose disk lost committed entries, and which can ask nobody for a while but a leader that was outvoted: that one
//! has others in their place, which were never committed.

use super::damage::SEE_HEALED_MS;
use super::{Action, Supervisor};
use crate::links::{Link, between, both_ways};
use crate::plan::Damage;
use crate::workload;
use crate::world::now_ns;
use seedlog_runtime::rng::keyed;

/// It is looked so often whether the next thing can happen.
const LOOK_EVERY_MS: u64 = 20;
/// What the first leader's own clients say to it.
const LAST_WORDS_BYTES: usize = 2 << 10;
/// What is counted when the two are alone.
const ALONE: &str = "alone_with_an_outvoted_leader";

pub(super) struct Misleading {
    /// Who is outvoted.
    number: u32,
    links: Vec<Link>,
    until_ns: u64,
    alone_ms: u64,
    down_ms: u64,
    /// The others were given enough to fill a segment.
    filled: bool,
    alone: bool,
}

impl Supervisor {
    pub(super) fn misled(&mut self, for_ms: u64, alone_ms: u64, down_ms: u64) {
        let (Some((number, _)), Some(_)) = (self.world.leader(), self.untouched()) else { return };
        self.world.fired("misled");
        self.misleading = true;
        let (here, others) = self.sides(&[number]);
        let links = both_ways(between(&here, &others));
        self.links.cut(&links);
        drop(tokio::spawn(workload::produce_there(self.world.clone(), number, here[0], LAST_WORDS_BYTES)));
        let until_ns = now_ns() + for_ms * 1_000_000;
        self.misleading(Misleading { number, links, until_ns, alone_ms, down_ms, filled: false, alone: false });
    }

    pub(super) fn misleading(&mut self, mut misleading: Misleading) {
        if now_ns() >= misleading.until_ns {
            self.links.mend(&misleading.links);
            self.misleading = false;
            return;
        }
        if !misleading.alone
            && let Some(at) = self.lose_what_was_outvoted(&mut misleading)
        {
            let (here, others) = self.sides(&[misleading.number, self.nodes[at].machine.number]);
            self.links.mend(&misleading.links);
            misleading.links = both_ways(between(&here, &others));
            self.links.cut(&misleading.links);
            misleading.until_ns = now_ns() + (misleading.down_ms + misleading.alone_ms) * 1_000_000;
            misleading.alone = true;
        }
        self.after_ms(LOOK_EVERY_MS, Action::Misleading(misleading));
    }

    /// Has a follower of the new leader lose the segment in which it has what is committed where the first leader has
    /// its last words.
    fn lose_what_was_outvoted(&mut self, misleading: &mut Misleading) -> Option<usize> {
        let last = self.world.agent(misleading.number)?.node().observe().last?;
        let (leader, _) = self.world.leader().filter(|(leader, _)| *leader != misleading.number)?;
        if !misleading.filled {
            misleading.filled = true;
            let (machine, bytes) = (self.nodes[leader as usize - 1].machine.id, self.plan.config.segment_bytes_max);
            drop(tokio::spawn(workload::produce_there(self.world.clone(), leader, machine, bytes as usize)));
        }
        let follows = |number: u32| number != leader && number != misleading.number;
        let at = self.nodes.iter().position(|node| follows(node.machine.number) && node.machine.is_up())?;
        self.world.whole_since()?;
        let settled = self.settled(at).into_iter().find(|settled| settled.entries.contains(&last.index))?;
        self.crash(at, None);
        self.lose(at, &settled.store, Damage::Lost, &mut keyed(self.plan.seed, &["misled".into()]));
        self.world.fired(ALONE);
        self.after_ms(misleading.down_ms, Action::Restart { at });
        self.after_ms(misleading.down_ms + SEE_HEALED_MS, Action::SeeHealed { at, was_sound: false });
        Some(at)
    }
}
