//! A follower whose disk loses the end of its log, which it and the leader had acknowledged and others had not; and which
//! hears only those others when it comes back. With its vote one of them would lead, and what was acked would be gone.

use super::damage::{SEE_HEALED_MS, newest_store};
use super::{Action, Supervisor};
use crate::links::{Link, between, both_ways};
use crate::workload;
use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::rng::keyed;

/// What the leader's own clients say to it that some do not hear.
const LAST_WORDS_BYTES: usize = 2 << 10;
/// So much of a store is what it is known by.
const HEADER: usize = 64;

/// What becomes of it when the others have missed enough.
pub(super) struct Ending {
    leader: u32,
    at: usize,
    links: Vec<Link>,
    pub away_ms: u64,
    pub down_ms: u64,
    /// So long after it came back its power goes.
    pub again_ms: Option<u64>,
    seed: u64,
}

impl Supervisor {
    pub(super) fn lost_end(&mut self, hidden_ms: u64, away_ms: u64, down_ms: u64, again_ms: Option<u64>, seed: u64) {
        let Some((leader, _)) = self.world.leader() else { return };
        let mut rng = keyed(seed, &["lost_end".into()]);
        let numbers: Vec<u32> = self.machines().map(|machine| machine.number).collect();
        let mut others: Vec<u32> = numbers.iter().copied().filter(|number| *number != leader).collect();
        if others.len() < 2 {
            return;
        }
        let number = others.swap_remove(rng.random_range(0..others.len()));
        // The leader, this one, and who else it takes to commit anything.
        others.truncate(numbers.len() - (numbers.len() / 2 + 1));
        self.world.fired("lost_end");
        let (hidden, hearing) = self.sides(&others);
        let links = both_ways(between(&hidden, &hearing));
        self.links.cut(&links);
        let machine = self.nodes[leader as usize - 1].machine.id;
        drop(tokio::spawn(workload::produce_there(self.world.clone(), leader, machine, LAST_WORDS_BYTES)));
        let at = number as usize - 1;
        self.after_ms(hidden_ms, Action::LoseEnd(Ending { leader, at, links, away_ms, down_ms, again_ms, seed }));
    }

    pub(super) fn lose_end(&mut self, ending: Ending) {
        let Ending { leader, at, links, away_ms, down_ms, again_ms, seed } = ending;
        self.links.mend(&links);
        let still_leads = self.world.leader().is_some_and(|(now, _)| now == leader);
        let is_up = |at: usize| self.nodes[at].machine.is_up();
        if !still_leads || !is_up(at) || self.untouched().is_none() {
            return;
        }
        self.crash(at, None);
        let mut rng = keyed(seed, &["lost_end".into(), "disk".into()]);
        if self.lose_newest(at, &mut rng) {
            let (leader, others) = self.sides(&[leader]);
            let links = both_ways(between(&leader, &others));
            self.links.cut(&links);
            self.after_ms(down_ms + away_ms, Action::Mend(links));
            self.after_ms(down_ms + SEE_HEALED_MS, Action::SeeHealed { at, was_sound: false });
            if let Some(again_ms) = again_ms {
                let power_seed = rng.random();
                self.after_ms(
                    down_ms + again_ms,
                    Action::PowerLoss { at, power_seed, counts_as: "lost_end_and_power" },
                );
            }
        }
        self.after_ms(down_ms, Action::Restart { at });
    }

    /// The store that the node wrote last, or what it is known by.
    fn lose_newest(&mut self, at: usize, rng: &mut ChaCha12Rng) -> bool {
        let disk = self.nodes[at].machine.disk.clone();
        let Some(store) = newest_store(&disk) else { return false };
        let number = self.nodes[at].machine.number;
        self.world.event(format!("node {number} has lost the end of its log, {}", store.display()));
        self.hurt = Some(at);
        if rng.random_bool(0.5) {
            disk.lose(&store);
            return true;
        }
        let mut bytes = disk.cached_bytes(&store).unwrap_or_default();
        bytes.iter_mut().take(HEADER).for_each(|byte| *byte = rng.random());
        disk.tamper(&store, bytes)
    }
}
