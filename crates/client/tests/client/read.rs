use crate::memory_log::*;
use seedlog_client::{Fetch, Start};
use seedlog_runtime::clock;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_record_is_read_where_it_was_produced_and_a_miss_names_the_range() {
    let (_log, client) = MemoryLog::with_client().await;
    client.produce(records(&["a", "b"])).await.unwrap();
    let read = client.consume(1).await.unwrap();
    assert_eq!((read.offset, &read.value[..]), (1, b"b".as_slice()));
    assert_eq!(client.consume(2).await.unwrap_err().out_of_range(), Some(0..2));
}

#[tokio::test]
async fn a_fetch_is_bounded_and_may_find_nothing() {
    let (_log, client) = MemoryLog::with_client().await;
    client.produce(records(&["a", "b", "c", "d"])).await.unwrap();
    let offsets = async |start, records_max| {
        let fetch = Fetch { start, records_max, bytes_max: 0, wait: WAIT };
        client.fetch(fetch).await.unwrap().iter().map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(Start::Earliest, 3).await, [0, 1, 2]);
    assert_eq!(offsets(Start::Offset(3), 3).await, [3]);
    assert_eq!(offsets(Start::Time(2), 1).await, [2]);
    let at_the_end = Fetch { start: Start::Latest, records_max: 3, bytes_max: 0, wait: WAIT };
    assert_eq!(client.fetch(at_the_end).await.unwrap_err().out_of_range(), Some(0..4));
}

#[tokio::test]
async fn a_tail_gives_each_record_once_in_order_and_then_waits() {
    let (_log, client) = MemoryLog::with_client().await;
    let values: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    client.produce(values.iter().map(|value| record(value)).collect()).await.unwrap();
    let mut tail = client.consume_stream(Start::Offset(1)).await.unwrap();
    for offset in 1..10 {
        let read = tail.next().await.unwrap().unwrap();
        assert_eq!((read.offset, &read.value[..]), (offset, offset.to_string().as_bytes()));
    }
    assert!(clock::timeout(WAIT, tail.next()).await.is_err());
}

#[tokio::test]
async fn the_servers_are_listed() {
    let (_log, client) = MemoryLog::with_client().await;
    let servers = client.servers().await.unwrap();
    assert_eq!(servers.iter().map(|server| (server.id.as_str(), server.is_leader)).collect::<Vec<_>>(), [("1", true)]);
}
