use crate::memory_log::*;
use seedlog_client::{ApiError, Conditions, Error, Outcome, Produced, ProducerSequence};
use seedlog_runtime::clock;
use std::time::Duration;

fn at(first_offset: u64, count: u32) -> Result<Produced, Error> {
    Ok(Produced { first_offset, count, repeated: false })
}

#[tokio::test]
async fn a_record_and_a_batch_land_one_after_the_other() {
    let (log, client) = MemoryLog::with_client().await;
    assert_eq!(client.produce(records(&["a"])).await, at(0, 1));
    assert_eq!(client.produce(records(&["b", "c"])).await, at(1, 2));
    assert_eq!(log.values(), ["a", "b", "c"]);
    assert_eq!(client.produce(vec![]).await, Err(Error::Server(ApiError::EmptyRequest)));
}

#[tokio::test]
async fn a_refusal_is_definite_and_a_missing_answer_is_not() {
    let (log, client) = MemoryLog::with_client().await;
    let refused = client.produce(records(&[LEADERLESS])).await.unwrap_err();
    assert_eq!((refused.outcome(), log.values().len()), (Outcome::NotWritten, 0));

    let start = clock::now();
    let unanswered = client.produce(records(&[MUTE])).await.unwrap_err();
    // It was written: whoever sends it again on this error has it twice.
    assert_eq!((unanswered.outcome(), log.values().len()), (Outcome::Unknown, 1));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_too_large_for_a_message_is_not_sent() {
    let (log, client) = MemoryLog::with_client().await;
    let half = "x".repeat(4 << 20);
    let error = client.produce(records(&[&half, &half])).await.unwrap_err();
    assert!(matches!(error, Error::RequestTooLarge { .. }) && error.outcome() == Outcome::NotWritten, "{error}");
    assert_eq!(client.produce(records(&[&half])).await, at(0, 1));
    assert_eq!(log.values(), [half]);
}

/// Sends one request for each of `values` through one stream; the results of those that were sent,
/// and how many could not be sent.
async fn stream(past_errors: bool, values: &[&str]) -> (Vec<Result<Produced, Error>>, usize, Vec<String>) {
    let (log, client) = MemoryLog::with_client_past_errors(past_errors).await;
    let (mut sender, mut results) = client.produce_stream().await.unwrap();
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    let sending = seedlog_runtime::spawn(async move {
        let mut unsent = 0;
        for value in values {
            unsent += usize::from(sender.send(records(&[&value])).await.is_err());
        }
        unsent
    });
    let mut seen = Vec::new();
    while let Some(result) = clock::timeout(Duration::from_secs(5), results.next()).await.expect("a result in time") {
        seen.push(result);
    }
    let unsent = sending.await.unwrap();
    (seen, unsent, log.values())
}

#[tokio::test]
async fn results_come_in_the_order_of_the_requests_and_end_after_the_last() {
    let (results, unsent, log) = stream(true, &["a", "b", LEADERLESS, "c", "d", "e", "f"]).await;
    let refused = || Err(Error::Server(ApiError::NoLeader));
    assert_eq!(results, [at(0, 1), at(1, 1), refused(), at(2, 1), at(3, 1), at(4, 1), at(5, 1)]);
    assert_eq!((unsent, log.join("")), (0, "abcdef".to_owned()));
}

#[tokio::test]
async fn a_stream_that_ends_at_an_error_says_it_of_the_request_and_knows_nothing_of_those_behind() {
    let values = ["a", "b", LEADERLESS, "c", "d", "e", "f", "g", "h"];
    let (results, unsent, log) = stream(false, &values).await;
    assert_eq!(results[..3], [at(0, 1), at(1, 1), Err(Error::Server(ApiError::NoLeader))]);
    for result in &results[3..] {
        assert_eq!(result.as_ref().map_err(Error::outcome), Err(Outcome::Unknown), "{result:?}");
    }
    assert_eq!(results.len() + unsent, values.len());
    assert_eq!(log.join(""), "ab");
}

#[tokio::test]
async fn a_stream_that_breaks_leaves_every_request_in_flight_unknown() {
    for breaks in [FAIL_STREAM, END_STREAM, MUTE] {
        let values = ["a", breaks, "b", "c", "d", "e", "f", "g", "h"];
        let (results, unsent, _) = stream(true, &values).await;
        assert_eq!(results[0], at(0, 1));
        for result in &results[1..] {
            assert_eq!(result.as_ref().map_err(Error::outcome), Err(Outcome::Unknown), "{breaks}: {result:?}");
        }
        // Every request is accounted for: it has a result, or it was not sent.
        assert_eq!(results.len() + unsent, values.len(), "{breaks}");
        assert!(unsent > 0, "{breaks}: sending goes on into a broken stream");
    }
}

#[tokio::test]
async fn a_stream_that_ends_while_nothing_is_owed_is_noticed_at_once_and_takes_no_more() {
    let (_log, client) = MemoryLog::with_client().await;
    let (mut sender, mut results) = client.produce_stream().await.unwrap();
    sender.send(records(&[LAST])).await.unwrap();
    assert_eq!(results.next().await, Some(at(0, 1)));
    assert_eq!(results.take_ended_idle(), None);
    let next = clock::timeout(Duration::from_secs(5), results.next()).await.expect("noticed");
    assert_eq!(next, None);
    assert!(results.take_ended_idle().is_some());
    assert_eq!(sender.send(records(&["b"])).await, Err(Error::StreamEnded));
    drop(sender);
    assert_eq!(results.next().await, None);
}

#[tokio::test]
async fn no_more_than_the_window_is_in_flight() {
    let (log, client) = MemoryLog::with_client().await;
    let (mut sender, mut results) = client.produce_stream().await.unwrap();
    for _ in 0..4 {
        sender.send(records(&["a"])).await.unwrap();
    }
    let fifth = clock::timeout(Duration::from_millis(100), sender.send(records(&["b"]))).await;
    assert!(fifth.is_err(), "the fifth is sent before the first has its result");
    assert_eq!(results.next().await, Some(at(0, 1)));
    sender.send(records(&["b"])).await.unwrap();
    drop(sender);
    for offset in 1..5 {
        assert_eq!(results.next().await, Some(at(offset, 1)));
    }
    assert_eq!(results.next().await, None);
    assert_eq!(log.values(), ["a", "a", "a", "a", "b"]);
}

#[tokio::test]
async fn a_wait_for_a_result_that_is_given_up_loses_nothing() {
    let (_log, client) = MemoryLog::with_client().await;
    let (mut sender, mut results) = client.produce_stream().await.unwrap();
    sender.send(records(&["a"])).await.unwrap();
    for _ in 0..3 {
        _ = futures_util::future::poll_immediate(std::pin::pin!(results.next())).await;
    }
    sender.send(records(&["b"])).await.unwrap();
    // Whatever the first polls saw, nothing is skipped: the last result is the last request's.
    drop(sender);
    let mut last = None;
    while let Some(result) = results.next().await {
        last = Some(result);
    }
    assert_eq!(last, Some(at(1, 1)));
}

#[tokio::test]
async fn a_sender_whose_results_nobody_wants_does_not_wait_for_ever() {
    let (_log, client) = MemoryLog::with_client().await;
    let (mut sender, results) = client.produce_stream().await.unwrap();
    for _ in 0..4 {
        sender.send(records(&["a"])).await.unwrap();
    }
    drop(results);
    let fifth = clock::timeout(Duration::from_secs(5), sender.send(records(&["a"]))).await.expect("in time");
    assert_eq!(fifth, Err(Error::StreamEnded));
}

#[tokio::test]
async fn a_producers_stream_ends_if_its_first_request_fails() {
    let (log, client) = MemoryLog::with_client().await;
    let (mut requests, mut results) = client.produce_stream().await.unwrap();
    let from = |sequence| Conditions {
        producer: Some(ProducerSequence { id: "p".into(), sequence, gap_allowed: false }),
        ..Conditions::default()
    };
    requests.send_if(records(&[LEADERLESS]), &from(0)).await.unwrap();
    let (second, first) = (from(1), results.next());
    let (second, first) = tokio::join!(requests.send_if(records(&["b"]), &second), first);
    assert_eq!(first.unwrap().unwrap_err().outcome(), Outcome::NotWritten);
    assert_eq!((second, log.values().len()), (Err(Error::StreamEnded), 0));

    let (mut requests, mut results) = client.produce_stream().await.unwrap();
    requests.send_if(records(&["a"]), &from(0)).await.unwrap();
    let second = from(1);
    let (second, first) = tokio::join!(requests.send_if(records(&["b"]), &second), results.next());
    assert_eq!((first, second), (Some(at(0, 1)), Ok(())));
    requests.send_if(records(&["c"]), &from(2)).await.unwrap();
    drop(requests);
    assert_eq!(
        (results.next().await, results.next().await, results.next().await),
        (Some(at(1, 1)), Some(at(2, 1)), None)
    );
}
