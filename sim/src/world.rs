//! The world of one run: what all its tasks share.

use crate::checks::peace::Peace;
use crate::checks::raft::Raft;
use crate::checks::served::Served;
use crate::event::Subject;
use crate::health::Health;
use crate::history::{Complaint, History, Produce, Restarted};
use crate::timeline::{Condition, Recording};
use crate::trace::Trace;
use crate::workload;
use madsim::time::TimeHandle;
use seedlog_agent::Agent;
use seedlog_log::EntryId;
use seedlog_raft::{Observation, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Shared by the harness, the clients and the node's own task. One thread runs them all; the lock only
/// satisfies the compiler and is never held across an await.
#[derive(Clone)]
pub struct World(Arc<Mutex<Inner>>);

pub struct Inner {
    pub history: History,
    pub trace: Trace,
    /// What is shown afterwards, if somebody wants to see it.
    pub recording: Option<Recording>,
    /// How often each kind of fault, and each rare state, happened.
    pub fired: BTreeMap<String, u64>,
    /// What is to happen yet for a scenario to be in its situation.
    pub expected: VecDeque<String>,
    /// The running agents by number, for what no client can ask for.
    agents: BTreeMap<u32, Arc<Agent>>,
    /// Producers end when this is set.
    pub stopping: bool,
    /// Where each consumer is: its next offset, and when it last got a record.
    pub tails: BTreeMap<u32, (u64, u64)>,
    /// Who is of the last release, by number.
    pub previous: BTreeSet<u32>,
    /// Who each machine is: the node id of its disk, once it has started with it.
    ids: BTreeMap<u32, u64>,
    nodes: u32,
    site: u32,
    /// Where the log is mirrored into.
    destination: Option<World>,
    /// What the supervisor does to whom.
    pub health: Health,
    peace: Peace,
    served: Served,
    raft: Raft,
    /// What had been acked and trimmed before a term had its leader: whoever follows it must have that much.
    floors: BTreeMap<u64, Floor>,
    looked: Floor,
    /// The end of what was applied where a node crashed: messages of that life may still arrive.
    applied_before: u64,
}

#[derive(Clone, Copy, Default)]
struct Floor {
    acked_next_offset: u64,
    trims_done: u64,
}

/// Simulated nanoseconds since the start of the world.
pub fn now_ns() -> u64 {
    TimeHandle::current().elapsed().as_nanos() as u64
}

impl Inner {
    pub fn count(&mut self, what: &str) {
        *self.fired.entry(what.to_owned()).or_default() += 1;
        self.came_to(|expected| expected == what);
    }

    /// What others have counted while the run went on.
    pub fn count_in_the_end(&mut self, what: &str, times: u64) {
        *self.fired.entry(what.to_owned()).or_default() += times;
        self.came_to(|expected| expected == what);
    }

    /// As [`Inner::count`], of what happened to this node.
    pub fn count_on(&mut self, what: &str, number: Option<u32>) {
        self.came_to(|expected| number.is_some_and(|number| expected == format!("{what} on node {number}")));
        self.count(what);
    }

    fn came_to(&mut self, is_it: impl Fn(&str) -> bool) {
        if self.expected.front().is_some_and(|expected| is_it(expected)) {
            self.expected.pop_front();
        }
    }

    /// Which machine has this id now.
    pub fn node_of(&self, node_id: u64) -> Option<u32> {
        self.ids.iter().find(|(_, id)| **id == node_id).map(|(number, _)| *number)
    }
}

impl World {
    /// A cluster of so many nodes at a site, and where it is mirrored into.
    pub fn new(trace: Trace, nodes: u32, site: u32, destination: Option<World>) -> World {
        let history = History::default();
        let inner = Inner {
            history,
            trace,
            recording: None,
            fired: BTreeMap::new(),
            expected: VecDeque::new(),
            agents: BTreeMap::new(),
            stopping: false,
            tails: BTreeMap::new(),
            previous: BTreeSet::new(),
            ids: BTreeMap::new(),
            nodes,
            site,
            destination,
            health: Health::default(),
            peace: Peace::default(),
            served: Served::default(),
            raft: Raft::default(),
            floors: BTreeMap::new(),
            looked: Floor::default(),
            applied_before: 0,
        };
        World(Arc::new(Mutex::new(inner)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn event(&self, line: impl Into<String>) {
        let (line, mut inner) = (line.into(), self.lock());
        inner.came_to(|expected| line.contains(expected));
        inner.trace.event(now_ns(), line);
    }

    pub fn fired(&self, what: &str) {
        self.lock().count(what);
    }

    pub fn complain(&self, check: &'static str, what: impl Into<String>) {
        let (what, at_ns) = (what.into(), now_ns());
        self.event(format!("complaint for {check}: {what}"));
        self.lock().history.complaints.push(Complaint { check, what, at_ns });
    }

    /// Whether something has already gone wrong: the run may end, its last events tell what.
    pub fn complained(&self) -> bool {
        !self.lock().history.complaints.is_empty()
    }

    pub fn site(&self) -> u32 {
        self.lock().site
    }

    /// Notes that a produce is about to be sent, under the number that is returned. Each of its records may be mirrored
    /// from then on.
    pub fn calls(&self, produce: Produce) -> usize {
        let mut inner = self.lock();
        if let Some(destination) = &inner.destination {
            let mirrored = |value: &Vec<u8>| Produce {
                client: workload::MIRROR,
                values: vec![value.clone()],
                called_ns: produce.called_ns,
                ..Produce::default()
            };
            destination.lock().history.produces.extend(produce.values.iter().map(mirrored));
        }
        inner.history.produces.push(produce);
        inner.history.produces.len() - 1
    }

    pub fn stopping(&self) -> bool {
        self.lock().stopping
    }

    pub fn agent(&self, number: u32) -> Option<Arc<Agent>> {
        self.lock().agents.get(&number).cloned()
    }

    /// Those that run, with their numbers.
    pub fn agents(&self) -> Vec<(u32, Arc<Agent>)> {
        self.lock().agents.iter().map(|(number, agent)| (*number, agent.clone())).collect()
    }

    /// Who leads, as far as the nodes know: the one with the newest term that says so of itself.
    pub fn leader(&self) -> Option<(u32, Arc<Agent>)> {
        let status = |agent: &Arc<Agent>| agent.node().status();
        let leading = self.agents().into_iter().filter(|(_, agent)| status(agent).role == Role::Leader);
        leading.max_by_key(|(_, agent)| status(agent).term)
    }

    /// Whether a client that asks this node does not ask the leader.
    pub fn is_follower(&self, number: u32) -> bool {
        self.leader().is_some_and(|(leader, _)| leader != number)
    }

    /// The end of all that was ever applied anywhere: no client may have read past it.
    pub fn applied_end(&self) -> u64 {
        let inner = self.lock();
        let now = inner.agents.values().map(|agent| agent.node().range().1);
        now.max().unwrap_or(0).max(inner.applied_before)
    }

    pub fn started(&self, number: u32, agent: Arc<Agent>) {
        let mut inner = self.lock();
        inner.ids.insert(number, agent.identity().node_id);
        inner.agents.insert(number, agent);
    }

    /// The machine's disk is gone, and with it who it was.
    pub fn forget(&self, number: u32) {
        self.lock().ids.remove(&number);
    }

    /// Since which entry each machine, as it is now, votes and nobody else does, if that is certain and nobody knows of a
    /// later change that may come to something.
    pub fn whole_since(&self) -> Option<EntryId> {
        let ids: BTreeSet<u64> = self.lock().ids.values().copied().collect();
        let all = self.lock().nodes as usize;
        let is_whole = |node: &Observation| {
            ids.len() == all && node.voters.len() == 1 && node.voters[0].iter().copied().collect::<BTreeSet<_>>() == ids
        };
        let newest = self.agents().into_iter().map(|(_, agent)| agent.node().observe().voters_since).max().flatten();
        self.settled_members().find(|node| is_whole(node) && node.voters_since >= newest)?.voters_since
    }

    /// Whether it is certain that this node, a voter at `since`, is no member any more: who was taken out is never
    /// taken in again.
    pub fn is_out(&self, node_id: u64, since: EntryId) -> bool {
        self.settled_members().filter(|node| node.voters_since > Some(since)).any(|node| {
            node.voters.len() == 1 && !node.voters[0].contains(&node_id) && !node.learners.contains(&node_id)
        })
    }

    /// What the nodes say whose newest membership is known to be committed.
    fn settled_members(&self) -> impl Iterator<Item = Observation> {
        let seen = self.agents().into_iter().map(|(_, agent)| agent.node().observe());
        seen.filter(|node| node.voters_since.is_some() && node.voters_since <= node.committed)
    }

    /// Looks at every node that runs, and whether Raft keeps its promises.
    pub fn look(&self) {
        let numbered: BTreeMap<u32, _> =
            self.agents().iter().map(|(number, agent)| (*number, agent.node().observe())).collect();
        let nodes: Vec<_> = numbered.values().cloned().collect();
        let mut inner = self.lock();
        let size = inner.nodes as usize;
        if let Some(recording) = &mut inner.recording {
            recording.hold("raft", now_ns(), terms(&numbered));
        }
        let Inner { raft, peace, served, health, floors, looked, history, .. } = &mut *inner;
        let at_peace = if size > 1 { peace.see(now_ns(), health, &numbered, size) } else { Ok(()) };
        let all_served = served.see(now_ns(), health, peace.settled());
        let term = raft.term();
        let seen = raft.see(&nodes);
        if raft.term() > term {
            // It was elected since we looked.
            floors.insert(raft.term(), *looked);
        }
        *looked = Floor { acked_next_offset: history.acked_next_offset(), trims_done: history.trims_done };
        for (rare, node_id) in raft.take_rare() {
            let number = inner.node_of(node_id);
            inner.count_on(rare, number);
        }
        drop(inner);
        if let Err(what) = seen {
            self.complain("raft", what);
        }
        for what in [at_peace, all_served].into_iter().filter_map(Result::err) {
            self.complain("liveness", what);
        }
    }

    /// A client of the cluster begins to wait for an answer, or has it.
    pub fn waits(&self, client: u32, begins: bool) {
        self.lock().served.waits(client, begins.then(now_ns));
    }

    /// The node is about to be killed.
    pub fn crashing(&self, number: u32) {
        self.look();
        let applied = self.applied_end();
        let mut inner = self.lock();
        inner.applied_before = applied;
        if let Some(agent) = inner.agents.remove(&number) {
            inner.raft.ended(agent.identity().node_id);
        }
    }

    /// The node serves again: `range` is what it has, at this very moment.
    pub fn restarted(&self, number: u32, (first_offset, next_offset): (u64, u64)) {
        let term = self.agent(number).map_or(0, |agent| agent.node().status().term);
        let mut inner = self.lock();
        let floor = if inner.nodes == 1 {
            let History { trims_done, .. } = inner.history;
            Floor { acked_next_offset: inner.history.acked_next_offset(), trims_done }
        } else {
            inner.floors.range(..=term).next_back().map_or(Floor::default(), |(_, floor)| *floor)
        };
        let Floor { acked_next_offset, trims_done } = floor;
        let tried_records = inner.history.tried_records();
        let at_ns = now_ns();
        let restarted =
            Restarted { node: number, at_ns, first_offset, next_offset, acked_next_offset, tried_records, trims_done };
        inner.history.restarts.push(restarted);
    }
}

/// Who leads which term, and who follows in it.
fn terms(numbered: &BTreeMap<u32, Observation>) -> BTreeSet<Condition> {
    let term = |(number, node): (&u32, &Observation)| {
        let (kind, term) = match node.leads {
            Some(term) => ("leads", term),
            None => ("follows", node.vote?.term),
        };
        Some(Condition { subject: Subject::Node(*number), kind, text: format!("term {term}") })
    };
    numbered.iter().filter_map(term).collect()
}
