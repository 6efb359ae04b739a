//! A leader whose last words the others have and who does not hear that they have them; meanwhile another one leads,
//! commits them, and trims them away. What the first one waits for is then in nobody's log.

use super::faults::directed;
use super::{Action, Supervisor};
use crate::links::{Link, between};
use crate::plan::Way;
use crate::workload;
use crate::world::now_ns;

/// It is looked so often whether the next thing can happen.
const LOOK_EVERY_MS: u64 = 20;

pub(super) struct Overtaking {
    number: u32,
    out: Vec<Link>,
    heard_until_ns: u64,
    until_ns: u64,
    /// Whether it is not heard either.
    silent: bool,
    /// The last entry of the other leader when that was first seen to lead: the last words are before it.
    last_index: Option<u64>,
    trimmed: u64,
}

impl Supervisor {
    pub(super) fn overtaken(&mut self, heard_ms: u64, for_ms: u64) {
        let Some((number, _)) = self.world.leader() else { return };
        self.world.fired("overtaken");
        let (here, others) = self.sides(&[number]);
        let out = between(&here, &others);
        self.links.cut(&directed(out.clone(), Way::In));
        let here = self.nodes[number as usize - 1].machine.id;
        drop(tokio::spawn(workload::produce_there(self.world.clone(), number, here, 0)));
        let (now_ns, ms) = (now_ns(), 1_000_000);
        self.overtaking(Overtaking {
            number,
            out,
            heard_until_ns: now_ns + heard_ms * ms,
            until_ns: now_ns + for_ms * ms,
            silent: false,
            last_index: None,
            trimmed: 0,
        });
    }

    pub(super) fn overtaking(&mut self, mut overtaking: Overtaking) {
        let silence = now_ns() >= overtaking.heard_until_ns && !overtaking.silent;
        if silence {
            self.links.cut(&overtaking.out);
            overtaking.silent = true;
        }
        let has_trimmed = self.trim_away(&mut overtaking);
        if has_trimmed || now_ns() >= overtaking.until_ns {
            let Overtaking { last_index, trimmed, .. } = overtaking;
            self.world.event(format!(
                "overtaken is over: another leads, its log then ends with {last_index:?}, is trimmed up to offset \
                 {trimmed}, and has lost the last words: {has_trimmed}"
            ));
            self.links.mend(&directed(overtaking.out.clone(), Way::In));
            if overtaking.silent {
                self.links.mend(&overtaking.out);
            }
            return;
        }
        self.after_ms(LOOK_EVERY_MS, Action::Overtaking(overtaking));
    }

    /// Asks the other leader to free what it has; whether that is all that the first one may wait for.
    fn trim_away(&self, overtaking: &mut Overtaking) -> bool {
        let Some((leader, agent)) = self.world.leader().filter(|(leader, _)| *leader != overtaking.number) else {
            return false;
        };
        let node = agent.node();
        let asked = self.nodes[leader as usize - 1].machine.id;
        let last_index = *overtaking.last_index.get_or_insert_with(|| {
            // Segments are freed whole: what comes now fills the one with the last words, and the next one.
            let bytes = self.plan.config.segment_bytes_max as usize;
            drop(tokio::spawn(workload::produce_there(self.world.clone(), leader, asked, bytes)));
            node.status().last_index.unwrap_or(0)
        });
        let (seen, (_, next)) = (node.observe(), node.range());
        if seen.purged.is_some_and(|purged| purged.index >= last_index) {
            self.world.fired("overtaken_and_trimmed");
            return true;
        }
        if next > overtaking.trimmed {
            let records = std::mem::replace(&mut overtaking.trimmed, next)..next;
            drop(tokio::spawn(workload::read_and_trim(self.world.clone(), leader, asked, records)));
        }
        false
    }
}
