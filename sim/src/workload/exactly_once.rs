//! A producer that numbers its records and sends again whatever was not answered, over a pipelined stream:
//! each of its records must be in the log once, in order.

use super::*;
use seedlog_client::{Conditions, ProduceResults, Produced, ProducerSequence};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// A call that has no answer yet that settles it.
#[derive(Clone)]
struct Open {
    call: usize,
    records: Vec<Record>,
    sequence: u64,
    /// It was sent at least once, and may have been written then.
    maybe: bool,
}

pub async fn produce(mut maker: Maker) {
    let mut open: VecDeque<Open> = VecDeque::new();
    let mut caller = Caller::new(&maker.plan, maker.client);
    let mut next_sequence = maker.rng.random_range(0..1_000_000);
    while !maker.world.stopping() {
        maker.back_off().await;
        let opened = caller.fresh().produce_stream().await;
        let Ok((mut requests, answers)) = opened else {
            caller.failed();
            continue;
        };
        let (sent, sent_calls) = mpsc::unbounded_channel();
        let answering = tokio::spawn(settle(maker.world.clone(), maker.client, sent_calls, answers));
        let mut at = 0;
        // Everything unanswered again, in its order, and then what is new.
        while !answering.is_finished() && (at < open.len() || !maker.world.stopping()) {
            if at == open.len() {
                maker.pause().await;
                let noted = Produce { sequence: Some(next_sequence), ..Produce::default() };
                let (call, records) = maker.call(noted);
                let sequence = next_sequence;
                next_sequence += records.len() as u64;
                open.push_back(Open { call, records, sequence, maybe: false });
            }
            let Open { call, records, sequence, maybe } = open[at].clone();
            let id = format!("producer-{}", maker.client);
            let producer = Some(ProducerSequence { id, sequence, gap_allowed: false });
            let conditions = Conditions { producer, ..Conditions::default() };
            let was_sent = sent.send((call, maybe)).is_ok() && requests.send_if(records, &conditions).await.is_ok();
            if !was_sent {
                break;
            }
            open[at].maybe = true;
            at += 1;
        }
        drop((requests, sent));
        caller.failed();
        let (acked, surely_not) = answering.await.expect("it does not panic");
        open.drain(..acked);
        // It alone: what went behind it has an unknown outcome.
        if let (true, Some(failed)) = (surely_not, open.front_mut()) {
            failed.maybe = false;
        }
    }
    for Open { call, .. } in open.into_iter().filter(|open| !open.maybe) {
        maker.world.lock().history.produces[call].outcome = Outcome::Refused;
    }
}

/// Takes answers until one is an error. How many were acked, and whether the one after them was surely not
/// written.
async fn settle(
    world: World,
    client: u32,
    mut sent: mpsc::UnboundedReceiver<(usize, bool)>,
    mut answers: ProduceResults,
) -> (usize, bool) {
    let mut acked = 0;
    while let Some((call, again)) = sent.recv().await {
        match answers.next().await {
            Some(Ok(produced)) => {
                note_repeat(&world, client, call, again, &produced);
                answered(&world, client, call, &Ok(produced));
                acked += 1;
            }
            Some(Err(error)) => {
                world.event(format!("producer {client} call {call}: {error}"));
                if let Error::Server(ApiError::SequenceTooOld { .. }) = error {
                    world.complain("exactly once", format!("call {call} of client {client}, sent again: {error}"));
                }
                // One that was sent before may be there all the same.
                let surely_not = error.outcome() == Certainty::NotWritten && !again;
                return (acked, surely_not);
            }
            None => break,
        }
    }
    (acked, false)
}

fn note_repeat(world: &World, client: u32, call: usize, again: bool, produced: &Produced) {
    match (produced.repeated, again) {
        (true, true) => world.fired("repeated"),
        (true, false) => {
            world.complain("exactly once", format!("call {call} of client {client} is a repeat, and was sent once"));
        }
        (false, _) => {}
    }
}
