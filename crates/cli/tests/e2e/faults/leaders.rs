//! One leader after the other is killed, under a producer and tails of the client crate that are told nothing of it.

use super::cluster::{Cluster, eventually};
use super::network::in_a_network;
use seedlog_client::{Delivery, Error, ProducerOptions, Record, Start};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

const KILL_EVERY: Duration = Duration::from_secs(10);
const TAILS: usize = 3;
/// About a thousand records a second.
const PAUSE: Duration = Duration::from_millis(1);
const LAST: &[u8] = b"the last one";
/// From when nobody is killed any more, for all that is on its way.
const END_MAX: Duration = Duration::from_secs(60);
/// Between two acknowledgements, whoever was killed: an election, and the time to notice it.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// For how long leaders are killed: `KILLING_SECONDS`, or one minute.
fn killing() -> Duration {
    let given = std::env::var("KILLING_SECONDS").map(|given| given.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(60))
}

/// What came back to the producer so far.
struct Acked {
    records: u64,
    last: Instant,
    longest_pause: Duration,
}

/// Of many lengths, the empty one among them, and all bytes.
fn value(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = (state >> 32) % 300;
    let next = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(next).collect()
}

/// Until it is told to stop: all that it gave to the producer, in order.
async fn give(
    client: seedlog_client::Cluster,
    stop: Arc<AtomicBool>,
    given: mpsc::UnboundedSender<Delivery>,
) -> Vec<Vec<u8>> {
    let producer = client.producer(ProducerOptions::default());
    let mut beat = tokio::time::interval(PAUSE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut values = Vec::new();
    while values.last().is_none_or(|value| value != LAST) {
        beat.tick().await;
        values.push(if stop.load(Relaxed) { LAST.to_vec() } else { value(values.len() as u64) });
        let record = Record { value: values.last().cloned().unwrap_or_default().into(), ..Record::default() };
        given.send(producer.send(record).await.unwrap()).unwrap();
    }
    values
}

/// Each is in the log, at its own offset: nobody else writes there.
async fn settle(mut given: mpsc::UnboundedReceiver<Delivery>, acked: Arc<Mutex<Acked>>) {
    while let Some(delivery) = given.recv().await {
        let delivered = delivery.await;
        let mut acked = acked.lock().unwrap();
        assert_eq!(delivered.map(|delivered| delivered.offset), Ok(acked.records));
        let now = Instant::now();
        acked.longest_pause = acked.longest_pause.max(now - acked.last);
        acked.last = now;
        acked.records += 1;
    }
}

async fn follow(client: seedlog_client::Cluster) -> Result<Vec<Vec<u8>>, Error> {
    let mut tail = client.tail(Start::Earliest);
    let mut values: Vec<Vec<u8>> = Vec::new();
    while values.last().is_none_or(|value| value != LAST) {
        values.push(tail.next().await?.value.to_vec());
    }
    Ok(values)
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn what_goes_in_comes_out_byte_for_byte_while_one_leader_after_the_other_is_killed() {
    in_a_network(|| {
        let mut cluster = Cluster::form();
        let addresses = cluster.addresses.lock().unwrap().clone();
        let runtime = cluster.runtime.handle().clone();
        let _entered = runtime.enter();
        // Each on its own: none learns from what another one finds out.
        let client = || seedlog_client::Cluster::connect(&addresses).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(Mutex::new(Acked { records: 0, last: Instant::now(), longest_pause: Duration::ZERO }));
        let (sender, given) = mpsc::unbounded_channel();
        let giving = runtime.spawn(give(client(), stop.clone(), sender));
        let settling = runtime.spawn(settle(given, acked.clone()));
        let following: Vec<_> = (0..TAILS).map(|_| runtime.spawn(follow(client()))).collect();
        let records = || acked.lock().unwrap().records;
        eventually("records are acknowledged", || (records() > 0).then_some(()));

        let (started, killing) = (Instant::now(), killing());
        let mut killed = 0;
        while started.elapsed() < killing {
            let leader = cluster.leader();
            cluster.kill(leader);
            killed += 1;
            let before = records();
            // More than were under way when it was killed.
            eventually("writes go on", || (records() > before + 100).then_some(()));
            cluster.start(leader);
            cluster.votes(leader);
            std::thread::sleep((KILL_EVERY * killed).saturating_sub(started.elapsed()));
        }
        let took = started.elapsed();
        stop.store(true, Relaxed);

        let ended = async {
            let put_in = giving.await.unwrap();
            settling.await.unwrap();
            let mut came_out = Vec::new();
            for tail in following {
                came_out.push(tail.await.unwrap().unwrap());
            }
            (put_in, came_out)
        };
        let (put_in, came_out) =
            runtime.block_on(async { tokio::time::timeout(END_MAX, ended).await.expect("all is settled and read") });
        for (number, came_out) in came_out.iter().enumerate() {
            let differs = put_in.iter().zip(came_out).position(|(one, other)| one != other);
            let counts = (came_out.len(), put_in.len());
            assert!(differs.is_none() && counts.0 == counts.1, "tail {number} at {differs:?}, {counts:?} records");
        }
        let Acked { records, longest_pause, .. } = *acked.lock().unwrap();
        assert_eq!(records, put_in.len() as u64);
        let bytes: usize = put_in.iter().map(Vec::len).sum();
        eprintln!(
            "{records} records of {bytes} bytes went in, and came out the same {TAILS} times, while {killed} leaders \
             were killed in {took:.0?}; longest without an acknowledgement: {longest_pause:.2?}"
        );
        assert!(killed as u128 >= killing.as_millis() / (2 * KILL_EVERY).as_millis(), "{killed} in {took:?}");
        assert!(longest_pause <= PAUSE_MAX, "{longest_pause:?} without an acknowledgement");
    });
}
