//! Clients of the cluster as a whole: they are told some of its nodes, find the rest, and go on whatever becomes of
//! each.

use super::*;
use seedlog_client::{
    Cluster, ClusterOptions, Conditions, Delivered, Delivery, Produced, ProducerOptions, ProducerSequence, Start,
};
use seedlog_runtime::rng::keyed;
use tokio::sync::mpsc;

/// Some of the nodes are enough to find the others.
pub fn find(client: u32, plan: &Plan) -> Cluster {
    let mut rng = keyed(plan.seed, &["seeds of".into(), u64::from(client).into()]);
    let known = rng.random_range(1..=plan.nodes);
    let first = rng.random_range(0..plan.nodes);
    let seeds = (0..known).map(|nth| address(plan.site, 1 + (first + nth) % plan.nodes));
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
            if is_out_of_sequence(&error) {
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

/// What no client is told that is alone with its name, and never sends anything else under a sequence.
fn is_out_of_sequence(error: &Error) -> bool {
    match error {
        Error::Server(refused) => matches!(refused, ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. }),
        Error::Unsettled { last, .. } => is_out_of_sequence(last),
        _ => false,
    }
}

/// Has many records on their way, each of which must be in the log once; every other producer ends at the first failure.
pub async fn pipeline(mut maker: Maker) {
    let cluster = find(maker.client, &maker.plan);
    let mut sequence = maker.rng.random_range(0..1_000_000);
    let mut life = 0;
    while !maker.world.stopping() {
        // One that was ended has left its last sequences open: the next goes on under another name.
        life += 1;
        let past_failures = maker.rng.random_bool(0.5);
        let impatient = !past_failures && maker.rng.random_bool(0.3);
        let producer = cluster.producer(ProducerOptions {
            id: Some(format!("producer-{}-{life}", maker.client)),
            first_sequence: sequence,
            room_bytes_max: maker.rng.random_range(1 << 10..32 << 10),
            batch_records_max: [1, 3, 1024][maker.rng.random_range(0..3)],
            delivery_max: if impatient { Duration::ZERO } else { Duration::from_secs(8) },
            past_failures,
            ..ProducerOptions::default()
        });
        let (sent, deliveries) = mpsc::unbounded_channel();
        let settling = tokio::spawn(settle(maker.world.clone(), maker.client, deliveries));
        let mut ended = false;
        while !maker.world.stopping() && !ended {
            for _ in 0..maker.rng.random_range(1..=4) {
                let in_order = (!past_failures).then_some(life);
                let noted = Produce { sequence: Some(sequence), in_order, life, ..Produce::default() };
                let (call, mut records) = maker.call_with(1, noted);
                sequence += 1;
                match producer.send(records.remove(0)).await {
                    Ok(delivery) => _ = sent.send((call, delivery)),
                    Err(error) => {
                        if !past_failures {
                            maker.world.fired("producer_ended_at_a_failure");
                        }
                        answered(&maker.world, maker.client, call, &Err(error));
                        ended = true;
                    }
                }
            }
            maker.pause().await;
        }
        drop((producer, sent));
        settling.await.expect("it does not panic");
        maker.back_off().await;
    }
}

/// Takes what becomes of each record.
async fn settle(world: World, client: u32, mut deliveries: mpsc::UnboundedReceiver<(usize, Delivery)>) {
    while let Some((call, delivery)) = deliveries.recv().await {
        world.waits(client, true);
        let settled = delivery.await;
        world.waits(client, false);
        match &settled {
            Ok(Delivered { repeated: true, .. }) => world.fired("repeated_by_the_cluster_client"),
            Err(error) if is_out_of_sequence(error) => {
                world.complain("exactly once", format!("call {call} of client {client}: {settled:?}"));
            }
            _ => {}
        }
        let produced = settled.map(|there| Produced { first_offset: there.offset, count: 1, repeated: there.repeated });
        answered(&world, client, call, &produced);
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
        sent_away(&world, number, &error);
        // Trimmed away meanwhile: what is left starts later.
        if let Some(valid) = error.out_of_range()
            && tail.offset().is_some_and(|next| next < valid.start)
        {
            tail.seek(valid.start);
        }
        madsim::time::sleep(backoff(&mut rng)).await;
    }
}
