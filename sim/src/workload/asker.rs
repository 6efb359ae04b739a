//! A client that asks here and there: a record somewhere, the end with and without a wait, a time, a
//! description.

use super::*;
use crate::history::Seen;
use seedlog_client::{Fetch, Start};
use seedlog_runtime::rng::keyed;

pub async fn ask(number: u32, plan: Plan, world: World) {
    let mut rng = keyed(plan.seed, &["asker".into(), u64::from(number).into()]);
    let mut caller = Caller::new(&plan, number);
    // Append times that were read.
    let mut times: Vec<i64> = vec![0];
    loop {
        madsim::time::sleep(pause(2 * plan.workload.pause_ms_mean, &mut rng)).await;
        let called_ns = now_ns();
        let client_now = &caller.client().clone();
        let follower = world.is_follower(caller.node());
        let answered = match rng.random_range(0..5) {
            0 => {
                let described = describe(&world, client_now, number, called_ns).await;
                if described && follower && world.is_follower(caller.node()) {
                    world.fired("read_index_on_follower");
                }
                described
            }
            1 => {
                let time_ms = times[rng.random_range(0..times.len())].saturating_add(rng.random_range(-1..=1));
                since(&world, client_now, number, time_ms).await
            }
            kind => {
                let end = world.lock().history.acked_next_offset();
                let start = match kind {
                    2 => Start::Offset(rng.random_range(0..=end)),
                    3 => Start::Latest,
                    _ => Start::Offset(end + rng.random_range(0..3)),
                };
                let wait = Duration::from_millis(if rng.random_bool(0.5) { 0 } else { rng.random_range(1..600) });
                let records_max = rng.random_range(1..20);
                let fetch = Fetch { start, records_max, bytes_max: rng.random_range(0..8_000), wait };
                let read = fetch_some(&world, client_now, number, fetch).await;
                times.extend(read.iter().flatten());
                read.is_some()
            }
        };
        if !answered {
            caller.failed();
            madsim::time::sleep(backoff(&mut rng)).await;
        }
    }
}

async fn describe(world: &World, client: &Client, number: u32, called_ns: u64) -> bool {
    let Ok(described) = client.describe().await else { return false };
    said(world, number, called_ns, Said::Range { first: described.first_offset, next: described.next_offset });
    let token = described.fencing.unwrap_or_default().token;
    said(world, number, called_ns, Said::FencedBy { token });
    world.fired("describe");
    true
}

async fn since(world: &World, client: &Client, number: u32, time_ms: i64) -> bool {
    let called_ns = now_ns();
    let fetch = Fetch { start: Start::Time(time_ms), records_max: 4, bytes_max: 0, wait: Duration::ZERO };
    match client.fetch(fetch).await {
        Ok(records) => {
            let found = records.first().map(|record| record.offset);
            note(world, number, records);
            said(world, number, called_ns, Said::Since { time_ms, found, next: 0 });
            world.fired("start_at_a_time");
            true
        }
        Err(error) => match error.out_of_range() {
            Some(range) => {
                said(world, number, called_ns, Said::Since { time_ms, found: None, next: range.end });
                true
            }
            None => false,
        },
    }
}

/// The append times of what was read; none if there was no answer.
async fn fetch_some(world: &World, client: &Client, number: u32, fetch: Fetch) -> Option<Vec<i64>> {
    let called_ns = now_ns();
    match client.fetch(fetch).await {
        Ok(records) => {
            let (first, last) = (records.first()?.offset, records.last()?.offset);
            if let Start::Offset(asked) = fetch.start
                && asked != first
            {
                world.complain("in order", format!("client {number} asked for offset {asked} and got {first}"));
            }
            if records.len() > fetch.records_max as usize {
                let what = format!("{} records, at most {} were asked for", records.len(), fetch.records_max);
                world.complain("in order", what);
            }
            if fetch.start == Start::Latest || fetch.wait > Duration::ZERO {
                world.fired("waited_and_read");
            }
            said(world, number, called_ns, Said::Hit { offset: last });
            Some(note(world, number, records))
        }
        Err(error) => {
            sent_away(world, number, &error);
            let Error::Server(ApiError::OffsetOutOfRange { asked, first, next }) = error else { return None };
            let asked_ns = fetch.wait.as_nanos() as u64;
            // Not one that came and was trimmed.
            let at_the_end = asked >= next;
            if at_the_end {
                said(world, number, called_ns, Said::Range { first, next });
                // The node's clock may run fast, by a quarter at most.
                if (now_ns() - called_ns) * 10 < asked_ns * 7 {
                    let what =
                        format!("client {number} was to wait {asked_ns} ns for a record and was sent away early");
                    world.complain("liveness", what);
                }
                world.fired(if asked_ns > 0 { "waited_in_vain" } else { "asked_past_the_end" });
            }
            Some(Vec::new())
        }
    }
}

/// Notes what a client has read, and returns the append times.
pub(super) fn note(world: &World, client: u32, records: Vec<Record>) -> Vec<i64> {
    let at_ns = now_ns();
    let mut world = world.lock();
    let mut times = Vec::new();
    let mut expected = None;
    for Record { offset, value, append_time_ms, .. } in records {
        if expected.is_some_and(|expected| expected != offset) {
            let what = format!("client {client} got offset {offset} where {expected:?} was next");
            world.history.complaints.push(Complaint { check: "in order", what, at_ns });
        }
        expected = Some(offset + 1);
        times.push(append_time_ms);
        world.history.reads.push(Seen { client, offset, value: value.to_vec(), append_time_ms, at_ns });
    }
    times
}
