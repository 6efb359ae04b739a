//! Ways to ask for less: each gives the plans that are one step smaller, the boldest first.

use crate::plan::{Fault, Plan, Planned, Target, Workload};
use serde_json::Value;

pub type Step = fn(&Plan) -> Vec<Plan>;

pub const STEPS: [Step; 7] = [nodes, last_things, buggified, clients, operations, time, times_of_faults];

/// Less than this is not worth a run.
const TIME_MS_MIN: u64 = 10;

fn nodes(plan: &Plan) -> Vec<Plan> {
    (1..plan.nodes).flat_map(|nodes| [with_nodes(plan, nodes), with_nodes(&moved(plan, nodes), nodes)]).collect()
}

/// What befell those that will be gone befalls one that stays.
fn moved(plan: &Plan, nodes: u32) -> Plan {
    let mut plan = plan.clone();
    for planned in &mut plan.faults {
        if let Target::Node(number) = &mut planned.node {
            *number = (*number - 1) % nodes + 1;
        }
    }
    plan
}

/// The same with less nodes: what befalls those that are gone is gone, too.
fn with_nodes(plan: &Plan, nodes: u32) -> Plan {
    let is_there = |planned: &Planned| match planned.node {
        Target::Node(number) => number <= nodes,
        Target::Leader => true,
    };
    let cut = |planned: &Planned| {
        let mut planned = planned.clone();
        match &mut planned.fault {
            Fault::Partition { side, .. } | Fault::PowerLossSome { side, .. } => {
                side.retain(|number| *number <= nodes);
                if side.is_empty() || side.len() == nodes as usize {
                    return None;
                }
            }
            Fault::CutLink { other, .. } | Fault::FlakyLink { other, .. } | Fault::SlowLink { other, .. }
                if *other > nodes =>
            {
                return None;
            }
            Fault::BreakConnections { other: Some(other), .. } if *other > nodes => return None,
            Fault::LeaderTransfer { to } if *to > nodes => return None,
            _ => {}
        }
        Fault::kinds(nodes).any(|kind| kind == planned.fault.kind()).then_some(planned)
    };
    let faults = plan.faults.iter().filter(|planned| is_there(planned)).filter_map(cut).collect();
    let previous_version = plan.previous_version.iter().copied().filter(|number| *number <= nodes).collect();
    Plan { nodes, faults, previous_version, ..plan.clone() }
}

/// What comes after the trouble, what the nodes are before it, and what is always a little wrong with the network.
fn last_things(plan: &Plan) -> Vec<Plan> {
    let changes: [fn(&mut Plan); 8] = [
        |plan| plan.last_power_seed = None,
        |plan| plan.last_rot_seed = None,
        |plan| plan.previous_version.clear(),
        |plan| plan.network.loss_per_mille = 0,
        |plan| plan.network.doubled_per_mille = 0,
        |plan| plan.network.calls_late_per_mille = 0,
        |plan| plan.network.calls_doubled_per_mille = 0,
        |plan| plan.network.latency_ms_max = plan.network.latency_ms_min,
    ];
    changed(plan, &changes)
}

/// What the product does now and then: all of it as it mostly does, or one thing more.
fn buggified(plan: &Plan) -> Vec<Plan> {
    let with = |buggify| Plan { buggify, ..plan.clone() };
    let without = |nth: usize| {
        let mut left = plan.buggify.clone();
        left.remove(nth);
        with(left)
    };
    let none = (plan.buggify.len() > 1).then(|| with(Vec::new()));
    none.into_iter().chain((0..plan.buggify.len()).map(without)).collect()
}

/// Kinds of client, and how many of each.
fn clients(plan: &Plan) -> Vec<Plan> {
    fn counts(workload: &mut Workload) -> [&mut u32; 8] {
        let Workload { producers, exactly_once, appenders, fencers, askers, .. } = workload;
        let Workload { consumers, cluster_producers, cluster_consumers, .. } = workload;
        [producers, exactly_once, appenders, fencers, askers, consumers, cluster_producers, cluster_consumers]
    }
    let now = counts(&mut plan.workload.clone()).map(|count| *count);
    let with = |wanted: [u32; 8]| {
        let mut plan = plan.clone();
        counts(&mut plan.workload).into_iter().zip(wanted).for_each(|(count, wanted)| *count = wanted);
        plan
    };
    let there: Vec<usize> = (0..now.len()).filter(|kind| now[*kind] > 0).collect();
    let one = |kind: usize, count| {
        let mut wanted = now;
        wanted[kind] = count;
        wanted
    };
    let alone = |kind: &usize| {
        let mut wanted = [0; 8];
        wanted[*kind] = now[*kind];
        wanted
    };
    let none = [0; 8];
    let bold = std::iter::once(none).chain(there.iter().map(alone));
    let without = there.iter().map(|kind| one(*kind, 0));
    let fewer = there.iter().filter(|kind| now[**kind] > 1).map(|kind| one(*kind, now[*kind] - 1));
    bold.chain(without).chain(fewer).filter(|wanted| *wanted != now).map(with).collect()
}

/// How much the clients do.
fn operations(plan: &Plan) -> Vec<Plan> {
    let changes: [fn(&mut Plan); 6] = [
        |plan| plan.workload.trim_ms_mean = 0,
        |plan| plan.workload.retention_ms_mean = 0,
        |plan| plan.workload.batch_records_max = 1,
        |plan| plan.workload.record_bytes_max = plan.workload.record_bytes_max.min(32),
        |plan| plan.workload.record_bytes_max /= 2,
        // Half as many calls.
        |plan| {
            plan.workload.pause_ms_mean = (2 * plan.workload.pause_ms_mean).min(2_000).max(plan.workload.pause_ms_mean)
        },
    ];
    changed(plan, &changes)
}

/// A shorter trouble: without its end, or without its beginning.
fn time(plan: &Plan) -> Vec<Plan> {
    let shorter = |trouble_ms: u64| {
        let faults = plan.faults.iter().filter(|planned| planned.at_ms < trouble_ms).cloned().collect();
        Plan { trouble_ms, faults, ..plan.clone() }
    };
    let sooner = |by_ms: u64| {
        let mut plan = plan.clone();
        plan.faults.iter_mut().for_each(|planned| planned.at_ms -= by_ms);
        plan.trouble_ms -= by_ms;
        plan
    };
    let length = plan.trouble_ms;
    let ends = [length / 4, length / 2, length * 3 / 4, length * 7 / 8].into_iter().map(shorter);
    let first_ms = plan.faults.iter().map(|planned| planned.at_ms).min().unwrap_or(0);
    let starts = [first_ms * 3 / 4, first_ms / 2, first_ms / 4].into_iter().map(sooner);
    ends.chain(starts).filter(|plan| plan.trouble_ms + TIME_MS_MIN <= length).collect()
}

/// Half as long, fault by fault, and without what is optional of it.
fn times_of_faults(plan: &Plan) -> Vec<Plan> {
    let each = plan.faults.iter().enumerate();
    let simpler = each.flat_map(|(nth, planned)| simpler(&planned.fault).into_iter().map(move |fault| (nth, fault)));
    let with = |(nth, fault): (usize, Fault)| {
        let mut plan = plan.clone();
        plan.faults[nth].fault = fault;
        plan
    };
    simpler.map(with).collect()
}

/// By its fields' names, so that a kind that is added is made simpler, too.
fn simpler(fault: &Fault) -> Vec<Fault> {
    let Ok(Value::Object(fields)) = serde_json::to_value(fault) else { return Vec::new() };
    let smaller = |name: &str, value: &Value| match value.as_u64() {
        Some(ms) if name.ends_with("_ms") && ms >= 2 * TIME_MS_MIN => Some(Value::from(ms / 2)),
        // Where it is not optional, this is no fault.
        Some(_) if name == "power_seed" => Some(Value::Null),
        _ => None,
    };
    let changed = fields.iter().filter_map(|(name, value)| {
        let mut fields = fields.clone();
        fields.insert(name.clone(), smaller(name, value)?);
        serde_json::from_value(Value::Object(fields)).ok()
    });
    changed.collect()
}

fn changed(plan: &Plan, changes: &[fn(&mut Plan)]) -> Vec<Plan> {
    let each = changes.iter().map(|change| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan
    });
    each.filter(|changed| changed != plan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;

    #[test]
    fn every_step_leads_to_another_plan_and_each_comes_to_an_end() {
        for seed in 0..100 {
            for step in STEPS {
                let mut plan = plan(seed, None, false);
                let mut steps = 0;
                while let Some(smaller) = step(&plan).into_iter().next_back() {
                    assert_ne!(smaller, plan);
                    plan = smaller;
                    steps += 1;
                    assert!(steps < 2_000, "seed {seed}: {plan:?}");
                }
            }
        }
    }

    #[test]
    fn with_less_nodes_every_fault_hits_one_that_is_left() {
        for seed in 0..200 {
            for smaller in nodes(&plan(seed, Some(5), false)) {
                for Planned { node, fault, .. } in &smaller.faults {
                    assert!(Fault::kinds(smaller.nodes).any(|kind| kind == fault.kind()));
                    assert!(!matches!(node, Target::Node(number) if *number > smaller.nodes));
                    if let Fault::Partition { side, .. } | Fault::PowerLossSome { side, .. } = fault {
                        assert!(!side.is_empty() && side.len() < smaller.nodes as usize);
                    }
                }
            }
        }
    }

    #[test]
    fn a_fault_is_made_shorter_and_simpler_and_never_another() {
        let slow = Fault::SlowDisk { for_ms: 200, step_ms_max: 7, power_seed: Some(3) };
        let shorter = Fault::SlowDisk { for_ms: 100, step_ms_max: 7, power_seed: Some(3) };
        let calmer = Fault::SlowDisk { for_ms: 200, step_ms_max: 7, power_seed: None };
        assert_eq!(simpler(&slow), [shorter, calmer]);
        // Here it is no choice.
        assert_eq!(simpler(&Fault::PowerLoss { down_ms: 1, power_seed: 3 }), []);
    }
}
