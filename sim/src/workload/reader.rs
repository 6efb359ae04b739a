//! The reader of the end: everything, once; and once more from rotten bytes.

use super::*;
use crate::history::{Seen, show};
use seedlog_client::{Fetch, Start};
use seedlog_runtime::rng::keyed;

/// A question with a bounded wait, at the end of the log: whether a record answered it.
pub async fn wait_at_the_end(mut caller: Caller, world: World) -> bool {
    let fetch = Fetch { start: Start::Latest, records_max: 1, bytes_max: 0, wait: Duration::from_secs(3) };
    let answer = caller.client().fetch(fetch).await;
    world.event(format!("who waited at the end got {answer:?}"));
    if answer.is_ok() {
        world.fired("woken_by_a_record");
    }
    answer.is_ok()
}

pub async fn read_all(mut caller: Caller, world: World) {
    let mut rng = keyed(0, &["reader".into()]);
    let (mut first, next) = loop {
        match caller.client().describe().await {
            Ok(described) => break (described.first_offset, described.next_offset),
            Err(error) => again(&world, &mut rng, &mut caller, error).await,
        }
    };
    let mut last = Vec::new();
    while first + (last.len() as u64) < next {
        let start = Start::Offset(first + last.len() as u64);
        let fetch = Fetch { start, records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
        match caller.client().fetch(fetch).await {
            Ok(records) => last.extend(records.into_iter().map(|record| {
                let Record { offset, value, append_time_ms, .. } = record;
                Seen { client: READER, offset, value: value.to_vec(), append_time_ms, at_ns: now_ns() }
            })),
            Err(error) => match error.out_of_range() {
                // A trim that retention had decided on before it was ended.
                Some(range) if first + (last.len() as u64) < range.start => {
                    last.clear();
                    first = range.start;
                }
                _ => again(&world, &mut rng, &mut caller, error).await,
            },
        }
    }
    let mut world = world.lock();
    world.trace.event(now_ns(), format!("everything read: offsets {first}..{next}"));
    world.history.complete = true;
    world.history.last_range = (first, next);
    world.history.last = last;
}

/// With messages lost, a call may find no connection.
async fn again(world: &World, rng: &mut ChaCha12Rng, caller: &mut Caller, error: seedlog_client::Error) {
    world.event(format!("reader: {error}"));
    caller.failed();
    madsim::time::sleep(backoff(rng)).await;
}

/// With `others`, who have what has rotted here.
pub async fn read_rotten(mut caller: Caller, world: World, node: u32, others: bool) {
    let expected = world.lock().history.last.clone();
    let (mut at, mut refusals) = (0, 0);
    while at < expected.len() && refusals < 5 {
        let start = Start::Offset(expected[at].offset);
        let fetch = Fetch { start, records_max: 256, bytes_max: 1 << 20, wait: Duration::ZERO };
        match caller.client().fetch(fetch).await {
            Ok(records) => {
                for record in records {
                    let Some(seen) = expected.get(at) else { break };
                    if (record.offset, &record.value[..]) != (seen.offset, &seen.value[..]) {
                        let (found, value) = (show(&record.value), show(&seen.value));
                        let what = format!("rotten bytes: offset {} holds {found}, it was {value}", seen.offset);
                        return world.complain("one truth", what);
                    }
                    at += 1;
                }
            }
            Err(error) if error.out_of_range().is_some() => {
                let what = format!("rotten bytes: offset {} is gone: {error}", expected[at].offset);
                return world.complain("acked survives", what);
            }
            // Refused, as it should be; or the network.
            Err(error) => {
                world.event(format!("reader: {error}"));
                refusals += 1;
            }
        }
    }
    if at == expected.len() {
        world.fired("rot_harmless");
    } else if others {
        let what = format!("offset {} of node {node} is rotten, and is not put right", expected[at].offset);
        world.complain("liveness", what);
    } else {
        world.fired("rot_unread");
    }
}
