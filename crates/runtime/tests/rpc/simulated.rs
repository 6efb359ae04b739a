//! What only a simulated network can do to a server, and shapes that production's tonic vouches for.

use crate::puppet::*;
use futures_util::stream;
use madsim::net::{Endpoint, NetSim};
use madsim::plugin::simulator;
use madsim::runtime::{Handle, NodeHandle};
use seedlog_api::v1::ConsumeRequest;
use seedlog_runtime::clock;
use seedlog_runtime::rpc::{Listener, Services, channel};
use seedlog_runtime::sim;
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
                let listener = Listener::bind(SERVER).await.unwrap();
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

/// A call whose caller has gone while what it had sent was on its way.
async fn abandoned(puppet: &Puppet) {
    let caller = node("10.0.0.2");
    let caller_id = caller.id();
    let asked = caller.spawn(async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let (tx, _rx) = endpoint.connect1(SERVER.parse().unwrap()).await.unwrap();
        simulator::<NetSim>().clog_node(caller_id);
        let message: BoxMessage = Box::new(consume(OFFSET_NEVER));
        tx.send(Box::new((PathAndQuery::from_static("/log.v1.Log/Consume"), false, Request::new(message))))
            .await
            .unwrap();
    });
    asked.await.unwrap();
    puppet.until_serving(0).await;
    simulator::<NetSim>().unclog_node(caller.id());
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_is_not_served_by_default() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    abandoned(&puppet).await;
    clock::sleep(20 * SECOND).await;
    puppet.until_serving(0).await;
    assert_eq!(sim::calls_fired().get("call_served_late"), None);
}

#[tokio::test]
async fn a_call_is_served_late_where_the_world_wants_it_so() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    sim::set_late_calls(1.0);
    abandoned(&puppet).await;
    puppet.until_serving(1).await;
    assert_eq!(sim::calls_fired().get("call_served_late"), Some(&1));
}

#[tokio::test]
async fn a_call_arrives_twice_and_only_one_of_which_there_is_a_copy() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    sim::set_doubled_calls(1.0, |message| {
        let message = message.downcast_ref::<ConsumeRequest>()?;
        Some(Box::new(message.clone()))
    });
    let caller = node("10.0.0.2");
    assert_eq!(produced_within(&caller, SECOND).await, Ok(5));
    let call = caller.spawn(async { client(SERVER).consume(consume(OFFSET_NEVER)).await });
    puppet.until_serving(2).await;
    assert_eq!(sim::calls_fired().get("call_doubled"), Some(&1));
    // What came again waits for nobody, and nobody for it.
    call.abort();
    puppet.until_serving(1).await;
}

#[tokio::test]
async fn connections_break_in_the_middle_of_a_call_and_the_next_one_is_served() {
    let puppet = Puppet::new();
    let _server = server(&puppet).await;
    let (one, other) = (node("10.0.0.2"), node("10.0.0.3"));
    let never = || async { client(SERVER).consume(consume(OFFSET_NEVER)).await };
    let (ones, others) = (one.spawn(never()), other.spawn(never()));
    puppet.until_serving(2).await;
    let ip = |text: &str| text.parse().unwrap();
    assert_eq!(sim::break_connections(ip("10.0.0.2"), Some(ip("10.0.0.3"))), 0);
    assert_eq!(sim::break_connections(ip("10.0.0.1"), Some(ip("10.0.0.2"))), 1);
    puppet.until_serving(1).await;
    assert_eq!(ones.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(produced_within(&one, SECOND).await, Ok(5));
    assert_eq!(sim::break_connections(ip("10.0.0.1"), None), 1);
    assert_eq!(others.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_slow_link_takes_its_time_in_the_direction_in_which_it_is_slow() {
    let _server = server(&Puppet::new()).await;
    let (slow, other) = (node("10.0.0.2"), node("10.0.0.3"));
    let (here, there) = ("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
    for (from, to) in [(here, there), (there, here)] {
        sim::set_slow_link(from, to, SECOND);
        assert!(produced_within(&slow, SECOND / 2).await.is_err());
        assert_eq!(produced_within(&slow, 2 * SECOND).await, Ok(5));
        assert_eq!(produced_within(&other, SECOND / 2).await, Ok(5));
        sim::set_slow_link(from, to, Duration::ZERO);
        assert_eq!(produced_within(&slow, SECOND / 2).await, Ok(5));
    }
}

/// What becomes of three calls if the server goes down at the second answer.
async fn answers_around_a_crash(moment: sim::Moment) -> Vec<bool> {
    let server = server(&Puppet::new()).await;
    let (down, goes_down) = tokio::sync::oneshot::channel();
    sim::crash_at_answer(server.id(), &["Consume", "Produce"], 1, moment, || down.send(()).unwrap());
    let id = server.id();
    seedlog_runtime::spawn(async move {
        goes_down.await.unwrap();
        Handle::current().kill(id);
    });
    let caller = node("10.0.0.2");
    let mut answered = Vec::new();
    for _ in 0..3 {
        answered.push(produced_within(&caller, SECOND).await.is_ok());
    }
    answered
}

#[tokio::test]
async fn a_node_goes_down_just_before_an_answer() {
    assert_eq!(answers_around_a_crash(sim::Moment::Before).await, [true, false, false]);
}

#[tokio::test]
async fn a_node_goes_down_just_after_an_answer() {
    assert_eq!(answers_around_a_crash(sim::Moment::After).await, [true, true, false]);
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
