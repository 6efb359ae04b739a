//! What holds in production and in the simulation alike.

use crate::puppet::*;
use futures_util::{StreamExt, stream};
use seedlog_api::ApiError;
use seedlog_api::v1::{GetServersRequest, ProduceRequest};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::DRAIN_MAX;
use std::time::Duration;
use tonic::{Code, Request};

#[cfg(not(madsim))]
const ANYWHERE: &str = "127.0.0.1:0";
/// Not port 0: madsim's next client socket would get the port of a server that has gone, and dial itself.
#[cfg(madsim)]
const ANYWHERE: &str = "127.0.0.1:8400";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_unary_call_is_answered() {
    let server = serve(&Puppet::new(), ANYWHERE).await;
    let mut client = client(server.local_addr);
    assert_eq!(client.produce(produce("hello")).await.unwrap().into_inner().offset, 5);
    let servers = client.get_servers(GetServersRequest {}).await.unwrap().into_inner().servers;
    assert_eq!(servers[0].rpc_addr, "127.0.0.1");
}

#[tokio::test]
async fn an_error_arrives_with_its_facts() {
    let server = serve(&Puppet::new(), ANYWHERE).await;
    let status = client(server.local_addr).consume(consume(OFFSET_OUT_OF_RANGE)).await.unwrap_err();
    let facts = ApiError::OffsetOutOfRange { asked: OFFSET_OUT_OF_RANGE, first: 0, next: 3 };
    assert_eq!(ApiError::from_status(&status), Some(facts));
    let status = client(server.local_addr).consume_stream(consume(OFFSET_OUT_OF_RANGE)).await.unwrap_err();
    assert_eq!(ApiError::from_status(&status), Some(ApiError::NoLeader));
}

#[tokio::test]
async fn a_stream_of_answers_arrives_whole_and_ends() {
    let server = serve(&Puppet::new(), ANYWHERE).await;
    for records in [0, 1, 100] {
        let answers = client(server.local_addr).consume_stream(consume(records)).await.unwrap().into_inner();
        let offsets: Vec<_> = answers.map(|answer| answer.unwrap().record.unwrap().offset).collect().await;
        assert_eq!(offsets, (0..records).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn both_sides_stream_in_step() {
    let puppet = Puppet::new();
    let server = serve(&puppet, ANYWHERE).await;
    let (requests, requested) = tokio::sync::mpsc::channel(1);
    let requested = stream::unfold(requested, |mut requested| async { Some((requested.recv().await?, requested)) });
    let mut answers = client(server.local_addr).produce_stream(requested).await.unwrap().into_inner();
    for value in ["a", "bb", "ccc"] {
        requests.send(produce(value)).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().offset, value.len() as u64);
    }
    drop(requests);
    assert!(answers.message().await.unwrap().is_none());
    assert_eq!(*puppet.stream_end.borrow(), Some(Ok(())));
}

#[tokio::test]
async fn an_error_ends_a_stream_after_what_came_before_it() {
    let server = serve(&Puppet::new(), ANYWHERE).await;
    let requests = stream::iter([produce("a"), ProduceRequest::default(), produce("never answered")]);
    let mut answers = client(server.local_addr).produce_stream(requests).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().offset, 1);
    let status = answers.message().await.unwrap_err();
    assert_eq!(ApiError::from_status(&status), Some(ApiError::EmptyRequest));
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_client_is_gone() {
    let puppet = Puppet::new();
    let server = serve(&puppet, ANYWHERE).await;
    let mut client = client(server.local_addr);
    let call = seedlog_runtime::spawn({
        let mut client = client.clone();
        async move { client.consume(consume(OFFSET_NEVER)).await.map(drop) }
    });
    puppet.until_serving(1).await;
    call.abort();
    puppet.until_serving(0).await;

    let mut answers = client.consume_stream(consume(OFFSET_ENDLESS)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    puppet.until_serving(1).await;
    drop(answers);
    puppet.until_serving(0).await;
}

#[tokio::test]
async fn a_deadline_ends_the_call_at_both_ends() {
    let puppet = Puppet::new();
    let server = serve(&puppet, ANYWHERE).await;
    let mut request = Request::new(consume(OFFSET_NEVER));
    request.set_timeout(SECOND / 10);
    let status = clock::timeout(SECOND * 5, client(server.local_addr).consume(request)).await.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    puppet.until_serving(0).await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_under_way_and_accepts_nothing_new() {
    let puppet = Puppet::new();
    let server = serve(&puppet, ANYWHERE).await;
    let call = seedlog_runtime::spawn(async move { client(server.local_addr).consume(consume(OFFSET_SLOW)).await });
    puppet.until_serving(1).await;
    server.stop.send(true);
    assert_eq!(call.await.unwrap().unwrap().into_inner().record.unwrap().offset, OFFSET_SLOW);
    clock::timeout(SECOND, server.served).await.expect("nothing is under way any more").unwrap();
    let status = client(server.local_addr).produce(produce("too late")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let puppet = Puppet::new();
    let server = serve(&puppet, ANYWHERE).await;
    let mut answers = client(server.local_addr).consume_stream(consume(OFFSET_ENDLESS)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    let start = clock::now();
    server.stop.send(true);
    clock::timeout(DRAIN_MAX + SECOND, server.served).await.expect("in time").unwrap();
    assert!(start.elapsed() >= DRAIN_MAX, "{:?}", start.elapsed());
}
