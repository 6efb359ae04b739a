//! A run of two clusters, one of which is mirrored into the other: trouble on both sides and between them, and in the
//! end both logs are compared.

use crate::checks::mirror::{self, Logs};
use crate::plan::{Mirroring, Plan};
use crate::run::{CONVERGE, Report, Site, outcome};
use crate::workload::mirror::MirrorMachine;
use crate::world::{World, now_ns};
use futures_util::future::{join, join3};

/// `world` is the source's, `there` the destination's.
pub async fn live(plan: &Plan, mirroring: &Mirroring, world: World, there: World) -> u64 {
    let machine = MirrorMachine::build(plan, mirroring, &world);
    let mut source = Site::start(plan, &world, &[machine.id()]);
    let mut destination = Site::start(&mirroring.destination, &there, &[machine.id()]);
    let killing = machine.trouble(&mirroring.crashes);
    let (whole, whole_there, ()) = join3(source.come_through(), destination.come_through(), killing).await;
    if whole && whole_there {
        source.finish().await;
        if !world.complained() && machine.catches_up(CONVERGE).await {
            destination.finish().await;
            compare(&machine, &world).await;
        }
    }
    machine.end();
    // One after the other: they lose messages in the network that both are in.
    source.end().await;
    destination.end().await;
    now_ns()
}

async fn compare(machine: &MirrorMachine, world: &World) {
    let reading = join(machine.source_id(), machine.read_both());
    let Ok((source_id, (source, destination))) = madsim::time::timeout(CONVERGE, reading).await else {
        return world.complain("liveness", "after heal both logs could not be read to their ends in time");
    };
    let (trimmed_to, (_, source_end)) = {
        let history = &world.lock().history;
        (history.trimmed_to(), history.last_range)
    };
    let copies = destination.iter().filter(|record| !record.origins.is_empty()).count();
    *world.lock().fired.entry("mirrored".to_owned()).or_default() += copies as u64;
    if let Err(violation) = mirror::check(&Logs { source_id, source, source_end, trimmed_to, destination }) {
        world.complain(violation.check, violation.what);
    }
}

/// What became of the destination.
pub fn add(report_of_source: &mut Report, plan: &Plan, there: &World) {
    let Report {
        trace_hash,
        events,
        fired,
        acked_records,
        unknown_produces,
        read_records,
        violations,
        last_events,
        ..
    } = report_of_source;
    let (destination, _) = outcome(plan, 0, there);
    trace_hash.push_str(&destination.trace_hash);
    *events += destination.events;
    for (what, times) in destination.fired {
        *fired.entry(what).or_default() += times;
    }
    *acked_records += destination.acked_records;
    *unknown_produces += destination.unknown_produces;
    *read_records += destination.read_records;
    for mut found in destination.violations {
        found.what.insert_str(0, "in the destination: ");
        violations.push(found);
    }
    last_events.extend(destination.last_events);
}
