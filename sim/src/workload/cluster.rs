//! Clients of the cluster as a whole: they are told some of its nodes, find the rest, and go on whatever becomes of
//! each.

use super::*;
use seedlog_client::{Cluster, ClusterOptions, Conditions, ProducerSequence, Start};
use seedlog_runtime::rng::keyed;

/// Some of the nodes are enough to find the others.
fn find(client: u32, plan: &Plan) -> Cluster {
    let mut rng = keyed(plan.seed, &["seeds of".into(), u64::from(client).into()]);
    let known = rng.random_range(1..=plan.nodes);
    let first = rng.random_range(0..plan.nodes);
    let seeds = (0..known).map(|nth| address(1 + (first + nth) % plan.nodes));
    let options = ClusterOptions {
        call_max: Duration::from_secs(8),
        try_max: Duration::from_secs(1),
        refresh_every: Duration::from_secs(10),
        tail_records_max: 1 << rng.random_range(0..7),
        quiet_max: Duration::from_secs(2),
    };
    Cluster::connect_with(seeds, options).expect("addresses")
}

/// Numbers its records, and gives each batch again and again until it is in the log: once.
pub async fn produce(mut maker: Maker) {
    let cluster = find(maker.client, &maker.plan);
    let id = format!("producer-{}", maker.client);
    let mut sequence = maker.rng.random_range(0..1_000_000);
    while !maker.world.stopping() {
        maker.pause().await;
        let (call, records) = maker.call(Produce { sequence: Some(sequence), ..Produce::default() });
        let producer = Some(ProducerSequence { id: id.clone(), sequence, gap_allowed: false });
        let conditions = Conditions { producer, ..Conditions::default() };
        sequence += records.len() as u64;
        let mut maybe = false;
        loop {
            maker.world.waits(maker.client, true);
            let answer = cluster.produce_if(records.clone(), &conditions).await;
            maker.world.waits(maker.client, false);
            let error = match answer {
                Ok(produced) => {
                    if produced.repeated {
                        maker.world.fired("repeated_by_the_cluster_client");
                    }
                    answered(&maker.world, maker.client, call, &Ok(produced));
                    break;
                }
                Err(error) => error,
            };
            maker.world.event(format!("client {} call {call}: {error}", maker.client));
            if let Error::Server(ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. }) = error {
                maker.world.complain("exactly once", format!("call {call} of client {}: {error}", maker.client));
            }
            maybe |= error.outcome() == Certainty::Unknown;
            if maker.world.stopping() {
                if !maybe {
                    maker.world.lock().history.produces[call].outcome = Outcome::Refused;
                }
                return;
            }
            maker.back_off().await;
        }
    }
}

/// Follows the tail; only what was trimmed may be missing from what it sees.
pub async fn follow(number: u32, plan: Plan, world: World) {
    let mut rng = keyed(plan.seed, &["consumer".into(), u64::from(number).into()]);
    let mut tail = find(number, &plan).tail(Start::Earliest);
    loop {
        let error = match tail.next().await {
            Ok(record) => {
                consumer::see(&world, number, record);
                continue;
            }
            Err(error) => error,
        };
        world.event(format!("consumer {number}: {error}"));
        // Trimmed away meanwhile: what is left starts later.
        if let Some(valid) = error.out_of_range()
            && tail.offset().is_some_and(|next| next < valid.start)
        {
            tail.seek(valid.start);
        }
        madsim::time::sleep(backoff(&mut rng)).await;
    }
}
