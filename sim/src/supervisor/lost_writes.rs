//! A follower whose disk has kept nothing of what it was given for a while, and shows no trace of that: what it has is a sound log
//! that ends early. The leader knows better, and has to say so: a node that goes on as if nothing had been may vote for who has
//! as little as it has itself. Or the segment that it writes to is damaged, and with it what may look like a torn tail.
//!
//! Nobody can do anything about the vote that it may give before it is told. So it happens only where enough others have all
//! that it loses, and that is committed.

use super::damage::{GROUP_DIR, SEE_HEALED_MS, first_store, is_store, newest_store};
use super::{Action, Supervisor, Version};
use crate::machine::Machine;
use crate::plan::Damage;
use crate::world::now_ns;
use rand::RngExt as _;
use seedlog_log::EntryId;
use seedlog_runtime::disk::SimDisk;
use seedlog_runtime::rng::keyed;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// It is looked so often whether it may happen.
const LOOK_EVERY_MS: u64 = 5;
const HAPPENED: &str = "writes_lost_without_a_trace";

/// A disk as it was, if it comes to that.
pub(super) struct Earlier {
    at: usize,
    life: u64,
    files: BTreeMap<PathBuf, Vec<u8>>,
    last: Option<EntryId>,
    until_ns: u64,
    down_ms: u64,
    seed: u64,
    what: Option<Damage>,
}

/// What a leader knows that it once had.
pub(super) struct Lost {
    at: usize,
    leader: u32,
    term: u64,
    /// Its last entry.
    last: EntryId,
    /// It may have lost nothing.
    may_be_harmless: bool,
}

impl Supervisor {
    pub(super) fn lost_writes(&mut self, for_ms: u64, down_ms: u64, seed: u64, what: Option<Damage>) {
        let Some((leader, _)) = self.world.leader() else { return };
        let followers: Vec<usize> = (0..self.nodes.len()).filter(|at| *at + 1 != leader as usize).collect();
        if followers.is_empty() {
            return;
        }
        let at = followers[keyed(seed, &["lost_writes".into()]).random_range(0..followers.len())];
        let machine = &self.nodes[at].machine;
        let Some(agent) = self.world.agent(machine.number) else { return };
        self.world.fired("lost_writes");
        let (files, life) = (files(&machine.disk), machine.life());
        let last = agent.node().observe().last;
        let until_ns = now_ns() + for_ms * 1_000_000;
        self.lose_writes(Earlier { at, life, files, last, until_ns, down_ms, seed, what });
    }

    pub(super) fn lose_writes(&mut self, earlier: Earlier) {
        let machine = &self.nodes[earlier.at].machine;
        if now_ns() >= earlier.until_ns || !machine.is_up() || machine.life() != earlier.life {
            return;
        }
        let Some((leader, term, last)) = self.may_lose(&earlier) else {
            return self.after_ms(LOOK_EVERY_MS, Action::LoseWrites(earlier));
        };
        let Earlier { at, files, down_ms, seed, what, .. } = earlier;
        self.crash(at, None);
        self.after_ms(down_ms, Action::Restart { at });
        let Machine { disk, number, .. } = &self.nodes[at].machine;
        if let Some(what) = what {
            let Some(newest) = newest_store(disk) else { return };
            if !self.lose(at, &newest, what, &mut keyed(seed, &["lost_writes".into(), "damage".into()])) {
                return;
            }
            self.world.fired("end_damaged");
        } else {
            go_back(disk, files);
            self.world
                .event(format!("node {number} has lost what it wrote, without a trace, of what it had up to {last}"));
            self.world.fired(HAPPENED);
            self.hurt = Some(at);
        }
        self.lost_writes = Some(Lost { at, leader, term, last, may_be_harmless: what.is_some() });
    }

    /// The leader and its term, and the last entry of the node's log, if nothing but the end of its log would be lost, the leader
    /// has its word for some of that, and enough others have all of it.
    fn may_lose(&self, earlier: &Earlier) -> Option<(u32, u64, EntryId)> {
        self.untouched()?;
        let (leader, leading) = self.world.leader()?;
        let leading = leading.node().observe();
        let Machine { disk, number, .. } = &self.nodes[earlier.at].machine;
        let seen = self.world.agent(*number)?.node().observe();
        let matched = leading.matched.get(&seen.node_id).copied()?;
        let all_of_today = (0..self.nodes.len()).all(|at| self.version(at) == Version::Today);
        let has_its_word = if earlier.what.is_some() { matched >= seen.last } else { matched > earlier.last };
        if leader == *number || !has_its_word || !all_of_today || !only_the_log_grew(disk, &earlier.files) {
            return None;
        }
        let last = seen.last?;
        let others = self.world.agents().into_iter().filter(|(other, _)| other != number);
        let seen_of_others = others.map(|(_, agent)| agent.node().observe());
        let has_all = seen_of_others.filter(|other| other.durable_end > last.index && other.committed >= Some(last));
        // A log of which nothing is left is not begun anew.
        if earlier.what == Some(Damage::Lost) && newest_store(disk)? == first_store(disk)? {
            return None;
        }
        (has_all.count() > self.nodes.len() / 2).then_some((leader, leading.leads?, last))
    }

    /// Whether the node was told what it lost.
    pub(super) fn see_lost_writes(&mut self) {
        let Some(Lost { at, leader, term, last, may_be_harmless }) = self.lost_writes else { return };
        let number = self.nodes[at].machine.number;
        let Some(agent) = self.world.agent(number) else { return };
        let node = agent.node();
        let seen = node.observe();
        if node.lost_without_a_trace() > 0 {
            self.world.fired("lost_writes_noticed");
        } else if node.is_marked() || node.repaired().is_some() {
            self.world.fired("end_repaired");
        } else if seen.last < Some(last) || seen.durable_end <= last.index {
            return;
        } else if !may_be_harmless && seen.vote.is_some_and(|vote| vote.term == term) {
            // By its vote, only the leader of that term has appended to it since.
            let what = format!(
                "the disk of node {number} has lost entries up to {last} that node {leader} has its word for, and nobody says so"
            );
            return self.world.complain("recovery", what);
        }
        // Or whoever knew did not lead any more.
        self.lost_writes = None;
        self.after_ms(SEE_HEALED_MS, Action::SeeHealed { at, was_sound: false });
    }
}

fn files(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let bytes = |path: PathBuf| Some((path.clone(), disk.cached_bytes(&path)?));
    disk.paths().into_iter().filter_map(bytes).collect()
}

fn is_of_the_log(path: &Path) -> bool {
    ["state", "index", "store"].iter().any(|extension| path.extension().is_some_and(|it| it == *extension))
        && is_store(&path.with_extension("store"), Path::new(GROUP_DIR))
}

/// What was there still is; and it has voted for nobody meanwhile, and trimmed nothing.
fn only_the_log_grew(disk: &SimDisk, earlier: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let now = files(disk);
    let same = |path: &PathBuf| now.get(path) == earlier.get(path);
    earlier.keys().all(|path| now.contains_key(path)) && now.keys().all(|path| is_of_the_log(path) || same(path))
}

fn go_back(disk: &SimDisk, earlier: BTreeMap<PathBuf, Vec<u8>>) {
    for path in disk.paths().into_iter().filter(|path| !earlier.contains_key(path)) {
        disk.lose(&path);
    }
    for (path, bytes) in earlier.into_iter().filter(|(path, _)| is_of_the_log(path)) {
        disk.tamper(&path, bytes);
    }
}
