//! Many records at a time, each once, in their order.

use crate::cluster::{Group, SHORT};
use crate::memory_log::*;
use seedlog_client::{ApiError, Conditions, Delivered, Error, Outcome, Producer, ProducerOptions, ProducerSequence};
use seedlog_runtime::clock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn producer(group: &Group) -> Producer {
    group.cluster(&[0, 1, 2]).producer(ProducerOptions { delivery_max: LIMIT, ..ProducerOptions::default() })
}

/// Sends all of them before any is settled; what each came to.
async fn sent(producer: &Producer, values: &[&str]) -> Vec<Result<Delivered, Error>> {
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(producer.send(record(value)).await.unwrap());
    }
    let mut settled = Vec::new();
    for delivery in deliveries {
        settled.push(clock::timeout(LIMIT * 2, delivery).await.expect("it is settled in time"));
    }
    settled
}

async fn writes_go_on(producer: &Producer) {
    let is_settled = async { while sent(producer, &["c"]).await[0].is_err() {} };
    clock::timeout(LIMIT, is_settled).await.expect("they take and answer again");
}

fn offsets(settled: &[Result<Delivered, Error>]) -> Vec<Result<u64, Outcome>> {
    let offset = |settled: &Result<Delivered, Error>| match settled {
        Ok(there) => Ok(there.offset),
        Err(error) => Err(error.outcome()),
    };
    settled.iter().map(offset).collect()
}

#[tokio::test]
async fn records_go_to_the_leader_in_their_order_over_one_stream() {
    let group = Group::of(3).await;
    let producer = producer(&group);
    let values: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let settled = sent(&producer, &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(offsets(&settled), (0..2_000).map(Ok).collect::<Vec<_>>());
    assert_eq!(group.nodes[0].values(), values);
    let streams: Vec<u32> = group.nodes.iter().map(|node| node.seen.streams.load(Relaxed)).collect();
    assert_eq!(streams, [1, 0, 0]);
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_goes_on_and_nothing_is_there_twice() {
    for broken in [FAIL_STREAM, END_STREAM] {
        let group = Group::of(3).await;
        let producer = producer(&group);
        // Alone in its batch, as the two before it are.
        let mut settled = sent(&producer, &["a", "b"]).await;
        settled.extend(sent(&producer, &[broken]).await);
        settled.extend(sent(&producer, &["c", "d"]).await);
        assert_eq!(offsets(&settled), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)], "{broken}");
        assert!(matches!(settled[2], Ok(Delivered { repeated: true, .. })), "it was written, and not answered");
        assert_eq!(group.nodes[0].values(), ["a", "b", broken, "c", "d"]);
    }
}

#[tokio::test]
async fn a_new_leader_gets_what_the_old_one_did_not_answer() {
    let group = Group::of(3).await;
    let producer = producer(&group);
    sent(&producer, &["a"]).await;
    group.nodes[0].seen.down.store(true, Relaxed);
    group.tells(1, 2, 2);
    group.tells(2, 2, 2);
    assert_eq!(offsets(&sent(&producer, &["b", "c"]).await), [Ok(1), Ok(2)]);
    assert_eq!(group.nodes[0].values(), ["a", "b", "c"]);
    let is_with_the_leader = async {
        while group.nodes[2].seen.streams.load(Relaxed) == 0 {
            sent(&producer, &["d"]).await;
        }
    };
    clock::timeout(LIMIT, is_with_the_leader).await.expect("whoever passes records on is left for the leader");
}

#[tokio::test]
async fn only_the_record_that_is_refused_is_left_out() {
    let group = Group::of(3).await;
    let producer = producer(&group);
    sent(&producer, &["a"]).await;
    let settled = sent(&producer, &["b", "c", "d", LARGE, "e"]).await;
    assert_eq!(offsets(&settled), [Ok(1), Ok(2), Ok(3), Err(Outcome::NotWritten), Ok(4)]);
    assert_eq!(group.nodes[0].values(), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn what_nobody_takes_in_time_is_surely_not_written() {
    let group = Group::of(3).await;
    let options = ProducerOptions { delivery_max: SHORT, ..ProducerOptions::default() };
    group.nodes.iter().for_each(|node| node.seen.down.store(true, Relaxed));
    let producer = group.cluster(&[0]).producer(options);
    assert_eq!(offsets(&sent(&producer, &["a", "b"]).await), [Err(Outcome::NotWritten); 2]);
    group.nodes.iter().for_each(|node| node.seen.down.store(false, Relaxed));
    writes_go_on(&producer).await;
}

#[tokio::test]
async fn an_unanswered_record_is_given_up_in_time_and_its_outcome_is_open() {
    let group = Group::of(3).await;
    let options = ProducerOptions { delivery_max: SHORT * 2, ..ProducerOptions::default() };
    let producer = group.cluster(&[0]).producer(options);
    sent(&producer, &["a"]).await;
    group.nodes.iter().for_each(|node| node.seen.silent.store(true, Relaxed));
    assert_eq!(offsets(&sent(&producer, &["b"]).await), [Err(Outcome::Unknown)]);
    group.nodes.iter().for_each(|node| node.seen.silent.store(false, Relaxed));
    writes_go_on(&producer).await;
}

#[tokio::test]
async fn what_is_not_settled_takes_a_bounded_room() {
    let group = Group::of(3).await;
    group.nodes.iter().for_each(|node| node.seen.down.store(true, Relaxed));
    let options = ProducerOptions { room_bytes_max: 1_000, ..ProducerOptions::default() };
    let producer = group.cluster(&[0]).producer(options);
    let mut deliveries = Vec::new();
    while let Ok(taken) = clock::timeout(SHORT, producer.send(record("a"))).await {
        deliveries.push(taken.unwrap());
    }
    assert_eq!(deliveries.len(), 7, "each takes 128 bytes and its own");
    group.nodes.iter().for_each(|node| node.seen.down.store(false, Relaxed));
    clock::timeout(LIMIT, producer.send(record("b"))).await.expect("there is room again").unwrap();
}

#[tokio::test]
async fn what_was_given_is_sent_although_the_producer_is_dropped() {
    let group = Group::of(3).await;
    let producer = producer(&group);
    let delivery = producer.send(record("a")).await.unwrap();
    drop(producer);
    assert_eq!(clock::timeout(LIMIT, delivery).await.unwrap().unwrap(), Delivered { offset: 0, repeated: false });
}

#[tokio::test]
async fn a_record_that_no_message_can_hold_is_refused_at_once() {
    let group = Group::of(1).await;
    let producer = group.cluster(&[0]).producer(ProducerOptions::default());
    let error = producer.send(record(&"x".repeat(64 << 20))).await.unwrap_err();
    assert!(matches!(error, Error::RequestTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn where_only_the_seeds_can_be_reached_they_pass_the_records_on() {
    let group = Group::of(3).await;
    // Nobody listens there; and what is no address at all.
    (0..3).for_each(|teller| group.advertises(teller, &["127.0.0.1:9", "127.0.0.1:10", "no address"]));
    let producer = producer(&group);
    assert_eq!(offsets(&sent(&producer, &["a", "b", "c"]).await), [Ok(0), Ok(1), Ok(2)]);
    let streams: u32 = group.nodes.iter().map(|node| node.seen.streams.load(Relaxed)).sum();
    assert!(streams < 10, "{streams} streams for three records");
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_refused_with_the_limit() {
    let group = Group::of(1).await;
    for id in [String::new(), "x".repeat(129)] {
        let producer = group.cluster(&[0]).producer(ProducerOptions { id: Some(id), ..ProducerOptions::default() });
        let error = producer.send(record("a")).await.unwrap_err();
        assert!(matches!(error, Error::BadProducerId { max: 128, .. }), "{error}");
    }
    let empty = ProducerSequence { id: String::new(), sequence: 0, gap_allowed: false };
    let conditions = Conditions { producer: Some(empty), ..Conditions::default() };
    let error = group.cluster(&[0]).produce_if(records(&["a"]), &conditions).await.unwrap_err();
    assert_eq!(error, Error::BadProducerId { bytes: 0, max: 128 });
    assert!(group.nodes[0].values().is_empty());
}

/// One that ends at the first failure.
async fn in_order(group: &Group, seeds: &[usize], options: ProducerOptions) -> Producer {
    let cluster = group.cluster(seeds);
    // Without patience nobody waits for this.
    cluster.ready(LIMIT).await.unwrap();
    cluster.producer(ProducerOptions { past_failures: false, ..options })
}

#[tokio::test]
async fn in_order_nothing_behind_the_first_failure_is_written_and_whoever_waits_hears_of_it() {
    let group = Group::of(3).await;
    let producer = in_order(&group, &[0, 1, 2], ProducerOptions::default()).await;
    sent(&producer, &["a"]).await;
    let settled = sent(&producer, &["b", "c", LARGE, "d"]).await;
    let refused = Err(Outcome::NotWritten);
    assert_eq!(offsets(&settled), [Ok(1), Ok(2), refused, refused]);
    assert_eq!(group.nodes[0].values(), ["a", "b", "c"]);
    let ended = clock::timeout(LIMIT, producer.ended()).await.unwrap();
    assert!(matches!(ended, Error::Server(ApiError::RecordTooLarge { .. })), "{ended}");
    assert_eq!(producer.send(record("e")).await.unwrap_err(), ended);
}

#[tokio::test]
async fn in_order_another_try_is_made_while_there_is_time_and_everybody_is_tried_at_least() {
    for delivery_max in [LIMIT, Duration::ZERO] {
        let group = Group::of(3).await;
        let producer =
            in_order(&group, &[0, 1, 2], ProducerOptions { delivery_max, ..ProducerOptions::default() }).await;
        sent(&producer, &["a"]).await;
        group.nodes[0].seen.down.store(true, Relaxed);
        assert_eq!(offsets(&sent(&producer, &["b"]).await), [Ok(1)], "{delivery_max:?}");
        group.nodes.iter().for_each(|node| node.seen.down.store(true, Relaxed));
        if delivery_max.is_zero() {
            assert!(sent(&producer, &["c"]).await[0].is_err());
            clock::timeout(LIMIT, producer.ended()).await.expect("nobody is left");
        } else {
            let delivery = producer.send(record("c")).await.unwrap();
            clock::sleep(SHORT).await;
            group.nodes.iter().for_each(|node| node.seen.down.store(false, Relaxed));
            assert_eq!(clock::timeout(LIMIT, delivery).await.unwrap().unwrap().offset, 2);
        }
    }
}

#[tokio::test]
async fn without_patience_one_with_nothing_to_do_hears_that_its_only_server_is_gone() {
    let group = Group::of(1).await;
    let options = ProducerOptions { delivery_max: Duration::ZERO, ..ProducerOptions::default() };
    let producer = in_order(&group, &[0], options).await;
    sent(&producer, &["a"]).await;
    assert_eq!(offsets(&sent(&producer, &[LAST]).await), [Ok(1)]);
    clock::timeout(LIMIT, producer.ended()).await.expect("its stream has ended");
}

#[tokio::test]
async fn records_that_are_batches_of_their_own_are_known_again_when_another_producer_sends_them() {
    let group = Group::of(3).await;
    let options = ProducerOptions { id: Some("p".into()), batch_records_max: 1, ..ProducerOptions::default() };
    let first = in_order(&group, &[0], options.clone()).await;
    assert_eq!(offsets(&sent(&first, &["a", "b"]).await), [Ok(0), Ok(1)]);
    let again = sent(&in_order(&group, &[1], options).await, &["a", "b", "c"]).await;
    let seen = again.into_iter().map(|there| there.unwrap()).map(|there| (there.offset, there.repeated));
    assert_eq!(seen.collect::<Vec<_>>(), [(0, true), (1, true), (2, false)]);
}

#[tokio::test]
async fn an_expected_offset_holds_for_every_record_and_the_first_that_misses_it_is_the_last() {
    let group = Group::of(3).await;
    let expecting = |first| ProducerOptions { expected_offset: Some(first), ..ProducerOptions::default() };
    let producer = in_order(&group, &[0, 1, 2], expecting(0)).await;
    let values: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    let settled = sent(&producer, &values.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(offsets(&settled), (0..3_000).map(Ok).collect::<Vec<_>>());
    // Somebody else comes between.
    sent(&in_order(&group, &[0], ProducerOptions::default()).await, &["x"]).await;
    let missed = sent(&producer, &["y", "z"]).await;
    let wanted = Error::Server(ApiError::ExpectedOffset { expected: 3_000, next: 3_001 });
    assert_eq!(missed, [Err(wanted.clone()), Err(wanted)]);
    assert_eq!(group.nodes[0].values().len(), 3_001);
}
