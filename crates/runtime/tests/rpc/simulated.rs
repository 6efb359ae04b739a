//! What only a simulated network can do to a server, and shapes that production's tonic vouches for.

use crate::puppet::*;
use futures_util::stream;
use madsim::net::{Endpoint, NetSim};
use madsim::plugin::simulator;
use madsim::runtime::{Handle, NodeHandle};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::{Listener, Services, channel};
use std::future::pending;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, BoxMessage, BoxMessageStream, Service};
use tonic::{Code, Request, Response, Status};

const SERVER: &str = "10.0.0.1:8400";
const SECOND: Duration = Duration::from_secs(1);

fn node(ip: &str) -> NodeHandle {
    Handle::current().create_node().ip(ip.parse().unwrap()).build()
}

/// A server node that starts anew whenever it is restarted; ready on return.
async fn server(puppet: &Puppet) -> NodeHandle {
    let start = {
        let puppet = puppet.clone();
        move || {
            let puppet = puppet.clone();
            async move {
                let listener = Listener::bind("0.0.0.0:8400").await.unwrap();
                listener.serve(puppet.services(), pending()).await.unwrap();
            }
        }
    };
    let node = Handle::current().create_node().ip("10.0.0.1".parse().unwrap()).init(start).build();
    clock::sleep(SECOND / 100).await;
    node
}

async fn produced_within(node: &NodeHandle, limit: Duration) -> Result<u64, String> {
    let call = async move { client(SERVER).produce(produce("hello")).await };
    let answer = node.spawn(clock::timeout(limit, call)).await.expect("the client lives");
    let answer = answer.map_err(|elapsed| elapsed.to_string())?;
    answer.map(|answer| answer.into_inner().offset).map_err(|status| status.to_string())
}

#[tokio::test]
async fn a_connection_that_never_says_anything_holds_up_nobody() {
    let _server = server(&Puppet::new()).await;
    let (silent, cut_off, other) = (node("10.0.0.2"), node("10.0.0.3"), node("10.0.0.4"));
    silent.spawn(async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let _connection = endpoint.connect1(SERVER.parse().unwrap()).await.unwrap();
        pending::<()>().await
    });
    // Its first message is on the way for as long as the link is cut.
    let cut_off_id = cut_off.id();
    cut_off.spawn(async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let (tx, _rx) = endpoint.connect1(SERVER.parse().unwrap()).await.unwrap();
        simulator::<NetSim>().clog_node(cut_off_id);
        tx.send(Box::new("lost")).await.unwrap();
        pending::<()>().await
    });
    clock::sleep(SECOND).await;
    assert_eq!(produced_within(&other, SECOND / 10).await, Ok(5));
}

#[tokio::test]
async fn a_client_cut_off_in_the_middle_of_a_call_freezes_only_itself() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    let (cut_off, other) = (node("10.0.0.2"), node("10.0.0.3"));
    let call = cut_off.spawn(async { client(SERVER).consume(consume(OFFSET_SLOW)).await });
    puppet.until_serving(1).await;
    simulator::<NetSim>().clog_node(cut_off.id());
    for _ in 0..10 {
        assert_eq!(produced_within(&other, SECOND / 10).await, Ok(5));
    }
    // The connection held: the answer arrives when the link is back.
    simulator::<NetSim>().unclog_node(cut_off.id());
    assert_eq!(call.await.unwrap().unwrap().into_inner().record.unwrap().offset, OFFSET_SLOW);
}

#[tokio::test]
async fn a_killed_client_takes_its_handlers_with_it_and_its_stream_does_not_end_cleanly() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    let doomed = node("10.0.0.2");
    doomed.spawn(async { client(SERVER).consume(consume(OFFSET_NEVER)).await });
    doomed.spawn(async {
        let requests = stream::StreamExt::chain(stream::iter([produce("a")]), stream::pending());
        let mut answers = client(SERVER).produce_stream(requests).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        answers.message().await
    });
    puppet.until_serving(1).await;
    clock::sleep(SECOND / 10).await;
    Handle::current().kill(doomed.id());
    puppet.until_serving(0).await;
    let mut end = puppet.stream_end.subscribe();
    let end = *clock::timeout(SECOND, end.wait_for(Option::is_some)).await.expect("in time").unwrap();
    assert_eq!(end, Some(Err(Code::Cancelled)));
}

#[tokio::test]
async fn a_killed_server_is_unavailable_and_serves_again_after_its_restart() {
    let server = server(&Puppet::new()).await;
    let other = node("10.0.0.2");
    let waiting = other.spawn(async { client(SERVER).consume(consume(OFFSET_NEVER)).await });
    assert_eq!(produced_within(&other, SECOND).await, Ok(5));
    Handle::current().kill(server.id());
    let status = clock::timeout(SECOND, waiting).await.expect("in time").unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(produced_within(&other, SECOND).await.unwrap_err().contains("unavailable"));
    Handle::current().restart(server.id());
    clock::sleep(SECOND / 100).await;
    assert_eq!(produced_within(&other, SECOND).await, Ok(5));
}

/// `test.Sums/Sum`, the shape that `log.v1` lacks: a stream of requests, one answer.
#[derive(Clone)]
struct Sums;

impl tonic::transport::NamedService for Sums {
    const NAME: &'static str = "test.Sums";
}

impl Service<(PathAndQuery, Request<BoxMessageStream>)> for Sums {
    type Response = Response<BoxMessageStream>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (_, request): (PathAndQuery, Request<BoxMessageStream>)) -> Self::Future {
        Box::pin(async move {
            let mut sum = 0;
            let mut numbers = request.into_inner();
            while let Some(number) = stream::StreamExt::next(&mut numbers).await {
                sum += *number?.downcast::<u64>().unwrap();
            }
            let sum: BoxMessage = Box::new(sum);
            Ok(Response::new(Box::pin(stream::once(async { Ok(sum) })) as BoxMessageStream))
        })
    }
}

#[tokio::test]
async fn services_share_a_port_and_a_stream_of_requests_gets_one_answer() {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let services: Services = Puppet::new().services().add(Sums);
    seedlog_runtime::spawn(listener.serve(services, pending()));
    let mut client = tonic::client::Grpc::new(channel(&address.to_string()).unwrap());
    let sum = PathAndQuery::from_static("/test.Sums/Sum");
    let numbers = Request::new(stream::iter([1u64, 2, 3]));
    let answer: u64 = client.client_streaming(numbers, sum, ()).await.unwrap().into_inner();
    assert_eq!(answer, 6);
    assert_eq!(crate::puppet::client(address).produce(produce("hello")).await.unwrap().into_inner().offset, 5);

    for unknown in ["/no.such.Service/Call", "/log.v1.Log/Call", "/"] {
        let path: PathAndQuery = unknown.parse().unwrap();
        let status = client.unary::<u64, u64, _>(Request::new(1), path.clone(), ()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{unknown}");
        let status = client.server_streaming::<u64, u64, _>(Request::new(1), path, ()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{unknown}");
    }
}
