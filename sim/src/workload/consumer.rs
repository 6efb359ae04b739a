//! Consumers follow the tail.

use super::*;
use crate::history::Seen;
use seedlog_client::Start;
use seedlog_runtime::rng::keyed;

/// Follows the tail; after every interruption it goes on one past the last record it saw.
pub async fn follow(number: u32, plan: Plan, world: World) {
    let mut rng = keyed(plan.seed, &["consumer".into(), u64::from(number).into()]);
    let mut next = None::<u64>;
    let mut caller = Caller::new(&plan, number).with_tail(if number.is_multiple_of(2) { 1 } else { 16 });
    loop {
        let start = next.map_or(Start::Earliest, Start::Offset);
        let Ok(mut records) = caller.fresh().consume_stream(start).await else {
            caller.failed();
            madsim::time::sleep(backoff(&mut rng)).await;
            continue;
        };
        // Nothing may come for long: the node may be down, the link cut, or nobody producing.
        let mut patience = caller.patience();
        while patience > 0 {
            let Ok(Some(record)) = madsim::time::timeout(PATIENCE, records.next()).await else { break };
            patience -= 1;
            match record {
                Ok(record) => {
                    next = Some(record.offset + 1);
                    see(&world, number, record);
                }
                Err(error) => {
                    world.event(format!("consumer {number}: {error}"));
                    sent_away(&world, number, &error);
                    // Trimmed away meanwhile: what is left starts later.
                    if let Some(valid) = error.out_of_range()
                        && next.is_some_and(|next| next < valid.start)
                    {
                        next = Some(valid.start);
                    }
                    break;
                }
            }
        }
        caller.failed();
        madsim::time::sleep(backoff(&mut rng)).await;
    }
}

pub fn see(world: &World, client: u32, record: Record) {
    let applied = world.applied_end();
    if record.offset >= applied {
        world.complain(
            "one truth",
            format!("client {client} read offset {}, applied is up to {applied}", record.offset),
        );
    }
    let mut world = world.lock();
    let at_ns = now_ns();
    world.trace.event(at_ns, format!("client {client} reads offset {} of term {}", record.offset, record.term));
    let Record { offset, value, append_time_ms, .. } = record;
    world.tails.insert(client, (offset + 1, at_ns));
    world.history.seen.push(Seen { client, offset, value: value.to_vec(), append_time_ms, at_ns });
}
