//! One run: trouble, heal, peace, perhaps one more power loss, and then everything is read and checked.

use crate::checks;
use crate::checks::gossip::{self, Views};
use crate::history::{Copied, Outcome, Replica, Violation};
use crate::links::configure;
use crate::mirrored;
use crate::plan::{Buggified, Fault, Plan};
use crate::supervisor::{Rotten, Supervisor};
use crate::timeline::{self, Recording, Timeline};
use crate::trace::{Trace, concerned};
use crate::world::{Inner, World, now_ns};
use crate::{talk, versions, workload};
use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use madsim::task::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// After heal every node must serve within this simulated time.
pub const CONVERGE: Duration = Duration::from_secs(20);

/// How often the nodes of a cluster are looked at; every crash is another occasion.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a run came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub nodes: u32,
    pub trace_hash: String,
    pub events: u64,
    pub simulated_ns: u64,
    /// How often each fault and rare state happened.
    pub fired: BTreeMap<String, u64>,
    pub acked_records: u64,
    pub unknown_produces: u64,
    pub read_records: u64,
    pub violations: Vec<Found>,
    /// If a check failed: the last events before the end of those whom it names.
    pub last_events: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    pub check: String,
    pub what: String,
    /// Simulated seconds, where one moment can be named.
    pub at_s: Option<f64>,
}

impl From<Violation> for Found {
    fn from(violation: Violation) -> Found {
        Found {
            check: violation.check.to_owned(),
            what: violation.what,
            at_s: violation.at_ns.map(|ns| ns as f64 / 1e9),
        }
    }
}

/// How a run is looked at. None of it changes what happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Prints every event to stderr.
    pub echo: bool,
    /// Gives a [`Timeline`], too.
    pub record: bool,
    /// Makes the trace depend on the process, for [`crate::command`]'s determinism check to notice.
    pub canary: bool,
}

/// So many events of each node and client a report has at most.
const LAST_EVENTS: usize = 12;

/// Runs a plan on this thread. One run a process: counters inside libraries outlive a run.
pub fn run(plan: &Plan, options: Options) -> (Report, Option<Timeline>) {
    seedlog_runtime::sim::set_seed(plan.seed);
    seedlog_runtime::sim::set_udp_duplication(f64::from(plan.network.doubled_per_mille) / 1_000.0);
    seedlog_runtime::sim::set_late_calls(f64::from(plan.network.calls_late_per_mille) / 1_000.0);
    let doubled = f64::from(plan.network.calls_doubled_per_mille) / 1_000.0;
    seedlog_runtime::sim::set_doubled_calls(doubled, talk::copy);
    for Buggified { point, per_mille } in &plan.buggify {
        seedlog_runtime::sim::set_buggify(point, f64::from(*per_mille) / 1_000.0);
    }
    let mut config = madsim::Config::default();
    configure(&plan.network, &mut config.net);
    let runtime = Runtime::with_seed_and_config(plan.seed, config);
    let there = plan.mirror.as_ref().map(|mirroring| {
        let Plan { nodes, site, .. } = *mirroring.destination;
        World::new(Trace::new(LAST_EVENTS, options.echo).named("destination: "), nodes, site, None)
    });
    let world = World::new(Trace::new(LAST_EVENTS, options.echo), plan.nodes, plan.site, there.clone());
    world.lock().expected = plan.expect.iter().cloned().collect();
    if !plan.previous_version.is_empty() || plan.faults.iter().any(|it| matches!(it.fault, Fault::Upgrade { .. })) {
        versions::tell_apart(&world);
    }
    if options.record {
        // Of the first cluster only.
        world.lock().trace.keep_all();
        world.lock().recording = Some(Recording::default());
        talk::observe(&world);
    }
    if options.canary {
        world.lock().trace.event(0, format!("process {}", std::process::id()));
    }
    let simulated_ns = match (&plan.mirror, &there) {
        (Some(mirroring), Some(there)) => {
            runtime.block_on(mirrored::live(plan, mirroring, world.clone(), there.clone()))
        }
        _ => runtime.block_on(live(plan, world.clone())),
    };
    let rare = seedlog_runtime::sim::calls_fired().into_iter().chain(seedlog_runtime::sim::buggify_fired());
    for (what, times) in rare {
        world.lock().count_in_the_end(what, times);
    }
    let (mut report, timeline) = outcome(plan, simulated_ns, &world);
    if let (Some(mirroring), Some(there)) = (&plan.mirror, there) {
        mirrored::add(&mut report, &mirroring.destination, &there);
    }
    (report, timeline)
}

/// What became of one cluster.
pub fn outcome(plan: &Plan, simulated_ns: u64, world: &World) -> (Report, Option<Timeline>) {
    let mut violations = checks::check(&world.lock().history);
    if let (Some(next), true) = (world.lock().expected.front(), violations.is_empty()) {
        let what = format!(
            "the run never came to {next:?}, the next of the {} things for which it is kept",
            plan.expect.len()
        );
        violations.push(Violation { check: "situation", what, at_ns: None });
    }
    let mut inner = world.lock();
    let timeline = inner.recording.take().map(|recording| timeline(plan, &inner, &violations, simulated_ns, recording));
    (report(plan, &inner, violations, simulated_ns), timeline)
}

fn report(plan: &Plan, inner: &Inner, violations: Vec<Violation>, simulated_ns: u64) -> Report {
    let acked_records = inner.history.acked().map(|(_, produce)| produce.values.len() as u64).sum();
    let unknown = |produce: &&crate::history::Produce| produce.outcome == Outcome::Unknown;
    let last_events = violations.first().map(|first| {
        let concerned = concerned(&first.what, |node_id| inner.node_of(node_id));
        inner.trace.last_of(concerned)
    });
    let mut fired = inner.fired.clone();
    if let Some(line) = inner.trace.unknown() {
        // Declared nowhere: a sweep fails, and says which.
        fired.insert(format!("an event of unknown words ({line})"), 1);
    }
    Report {
        seed: plan.seed,
        nodes: plan.nodes,
        trace_hash: inner.trace.hash().to_string(),
        events: inner.trace.count(),
        simulated_ns,
        fired,
        acked_records,
        unknown_produces: inner.history.produces.iter().filter(unknown).count() as u64,
        read_records: inner.history.seen.len() as u64,
        last_events: last_events.unwrap_or_default(),
        violations: violations.into_iter().map(Found::from).collect(),
    }
}

fn timeline(plan: &Plan, inner: &Inner, violations: &[Violation], end_ns: u64, recording: Recording) -> Timeline {
    let drawn = |violation: &Violation| timeline::Violation {
        check: violation.check.to_owned(),
        what: violation.what.clone(),
        at_ns: violation.at_ns.unwrap_or(end_ns),
        is_moment_known: violation.at_ns.is_some(),
    };
    let mut timeline = Timeline {
        title: format!("seed {}, {} nodes", plan.seed, plan.nodes),
        nodes: plan.nodes,
        end_ns,
        latency_ns_min: plan.network.latency_ms_min * 1_000_000,
        violations: violations.iter().map(drawn).collect(),
        ..Timeline::default()
    };
    timeline.fill(recording, inner.trace.all());
    timeline
}

async fn live(plan: &Plan, world: World) -> u64 {
    let mut site = Site::start(plan, &world, &[]);
    if site.come_through().await {
        site.finish().await;
    }
    site.end().await;
    now_ns()
}

/// One cluster of the run, with its clients.
pub struct Site {
    plan: Plan,
    world: World,
    clients: workload::Clients,
    supervisor: Supervisor,
    working: workload::Working,
}

impl Site {
    /// `others`: who else is a client of this cluster, whom faults may cut off.
    pub fn start(plan: &Plan, world: &World, others: &[NodeId]) -> Site {
        let clients = workload::Clients::build(plan);
        let supervisor = Supervisor::new(plan, world, [&clients.ids(), others].concat());
        let working = clients.start(plan, world);
        if plan.nodes > 1 {
            drop(madsim::task::spawn(watch(world.clone())));
        }
        Site { plan: plan.clone(), world: world.clone(), clients, supervisor, working }
    }

    /// Trouble, heal, peace, and perhaps a last power loss; whether every node serves after it.
    pub async fn come_through(&mut self) -> bool {
        let Site { plan, world, supervisor, .. } = self;
        supervisor.trouble().await;

        let mut serves = !world.complained() && supervisor.heal(CONVERGE).await;
        if serves {
            supervisor.peace(Duration::from_millis(1_500)).await;
            if let Some(power_seed) = plan.last_power_seed {
                serves = supervisor.last_power_loss(power_seed, CONVERGE).await;
            }
        }
        if serves {
            supervisor.peace(Duration::from_millis(500)).await;
        }
        world.lock().stopping = true;
        if !serves && !world.complained() {
            let states = supervisor.states().join("; ");
            let what = format!("after heal not every node served and voted within {CONVERGE:?}: {states}");
            world.complain("liveness", what);
        }
        !world.complained()
    }

    /// The last answers; and then all is read.
    pub async fn finish(&mut self) {
        let Site { plan, world, clients, supervisor, working } = self;
        let finish = async {
            working.produced().await;
            clients.free_the_log(plan, world).await;
            settle(plan, world, clients).await;
            clients.read_all(plan, world).await;
            copy_replicas(world, supervisor).await;
        };
        if madsim::time::timeout(CONVERGE, finish).await.is_err() {
            world.complain("liveness", "after heal the log could not be read to its end in time");
        }
    }

    pub async fn end(self) {
        let Site { plan, world, clients, mut supervisor, working } = self;
        working.end();
        if plan.nodes > 1 && !world.complained() {
            see_each_other(&world).await;
            NetSim::current().update_config(|net| configure(&plan.network, net));
        }
        if let (false, Some(seed)) = (world.complained(), plan.last_rot_seed) {
            // Long enough for the last batch to be sealed.
            supervisor.peace(Duration::from_secs(1)).await;
            match supervisor.rot(seed, CONVERGE).await {
                (_, Rotten::Refuses) => {}
                (rotten, Rotten::Serves) => {
                    let reading = madsim::time::timeout(CONVERGE, clients.read_rotten(&plan, &world, rotten)).await;
                    if reading.is_err() && !supervisor.has_refused() {
                        world.complain("liveness", "a log with a rotten bit is neither read nor refused");
                    }
                }
                (_, Rotten::Neither) => {
                    world.complain("liveness", "a node with a rotten bit neither serves nor refuses");
                }
            }
        }
        for machine in supervisor.machines() {
            for (name, times) in machine.disk.fired() {
                // The supervisor counts what it does itself.
                if !matches!(name, "process_crash" | "power_loss") {
                    *world.lock().fired.entry(disk_fault(name).to_owned()).or_default() += times;
                }
            }
            Handle::current().kill(machine.id);
        }
    }
}

/// In peace, but that single messages get lost.
async fn see_each_other(world: &World) {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let views = || -> Views {
        let agents = world.agents();
        let seen = agents.iter().filter_map(|(_, agent)| {
            let members = agent.gossip()?.members().borrow().clone();
            Some((agent.identity().node_id, members.alive().iter().map(|member| member.node_id).collect()))
        });
        seen.collect()
    };
    let number = |node_id: u64| {
        let agents = world.agents();
        let found = agents.iter().find(|(_, agent)| agent.identity().node_id == node_id).map(|(number, _)| *number);
        found.unwrap_or_default()
    };
    let all_seen = async {
        while gossip::blind(&views()).is_some() {
            madsim::time::sleep(LOOK_EVERY).await;
        }
    };
    if madsim::time::timeout(Duration::from_millis(gossip::SEEN_MAX_MS), all_seen).await.is_err()
        && let Some((observer, missing)) = gossip::blind(&views())
    {
        let (observer, missing) = (number(observer), number(missing));
        return world.complain("gossip", format!("node {observer} does not see node {missing}, long after heal"));
    }
    NetSim::current().update_config(|net| net.packet_loss_rate = gossip::STEADY_LOSS);
    let until = now_ns() + gossip::STEADY_MS * 1_000_000;
    while now_ns() < until {
        if let Some((observer, missing)) = gossip::blind(&views()) {
            let (observer, missing) = (number(observer), number(missing));
            return world.complain("gossip", format!("node {observer} takes node {missing} for dead, which is there"));
        }
        madsim::time::sleep(LOOK_EVERY).await;
    }
}

/// What each node has on its own disk, once it has caught up.
async fn copy_replicas(world: &World, supervisor: &Supervisor) {
    let next_offset = world.lock().history.last_range.1;
    for machine in supervisor.machines() {
        let (number, node) = (machine.number, Handle::current().get_node(machine.id));
        let (Some(node), Some(agent)) = (node, world.agent(number)) else {
            return world.complain("liveness", format!("node {number} is down, in peace"));
        };
        // On the machine itself: it is its disk that takes the time.
        let copied = node.spawn(async move {
            let node = agent.node();
            if let Some(last) = next_offset.checked_sub(1) {
                node.wait_for(last).await;
            }
            let (first_offset, next_offset) = node.range();
            let mut records: Vec<Copied> = Vec::new();
            while first_offset + (records.len() as u64) < next_offset {
                let from = first_offset + records.len() as u64;
                let read = node.read(from, 256, 1 << 20).await.map_err(|error| error.to_string())?;
                for seedlog_log::Record { offset, term, append_time_ms, bytes } in read {
                    let record = seedlog_api::with_position(bytes, offset, term, append_time_ms);
                    let record = record.map_err(|error| format!("offset {offset}: {error}"))?;
                    let value = record.value.to_vec();
                    records.push(Copied { offset, term, append_time_ms: record.append_time_ms, value });
                }
            }
            Ok::<_, String>(Replica { node: number, first_offset, records })
        });
        match copied.await.expect("a node that was not killed") {
            Ok(replica) => world.lock().history.replicas.push(replica),
            Err(error) => {
                return world.complain("one truth", format!("node {number} cannot read its own log: {error}"));
            }
        }
    }
}

/// Looks at the nodes for as long as the run goes on.
async fn watch(world: World) {
    loop {
        madsim::time::sleep(LOOK_EVERY).await;
        world.look();
    }
}

/// With all producers silent: a record on its own must be acked, and every tail must be woken for it.
async fn settle(plan: &Plan, world: &World, clients: &workload::Clients) {
    const SILENCE: Duration = Duration::from_secs(1);
    madsim::time::sleep(SILENCE).await;
    let called = now_ns();
    let woken = clients.produce_alone(plan, world).await;
    // Where messages are lost, any of this may take its time.
    if plan.network.loss_per_mille > 0 {
        return;
    }
    let alone = world.lock().history.produces.last().map(|produce| produce.outcome.clone());
    let Some(Outcome::Acked { first_offset, at_ns }) = alone else {
        return world.complain("liveness", format!("a record produced all alone, in peace, was not acked: {alone:?}"));
    };
    if at_ns - called > SILENCE.as_nanos() as u64 {
        world.complain(
            "liveness",
            format!("a record produced all alone, in peace, was acked after {} ns", at_ns - called),
        );
    }
    if !woken {
        world.complain("liveness", "a wait at the log's end was not ended by the next record");
    }
    madsim::time::sleep(2 * SILENCE).await;
    let asleep = world.lock().tails.iter().find_map(|(consumer, (next, last_ns))| {
        let idle = now_ns() - last_ns > SILENCE.as_nanos() as u64;
        (idle && *next <= first_offset)
            .then(|| format!("consumer {consumer} waits at {next}, and {first_offset} is there"))
    });
    if let Some(what) = asleep {
        world.complain("liveness", format!("a tail was not woken: {what}"));
    }
}

/// The plan's name for what the disk counts.
fn disk_fault(name: &str) -> &str {
    match name {
        "short_write" => "short_writes",
        other => other,
    }
}
