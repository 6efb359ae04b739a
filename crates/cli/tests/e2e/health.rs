//! grpc.health.v1 and server reflection, as any gRPC tool uses them.

use crate::node::{Node, must};
use seedlog_runtime::rpc::channel;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_ready_node_serves_and_watchers_hear_that_it_stops_and_do_not_hold_it() {
    let mut node = Node::start_with(&[]);
    let mut health = HealthClient::new(channel(&node.rpc).unwrap());
    let mut watched = Vec::new();
    for service in ["", "log.v1.Log", "log.v1.AdminService"] {
        let checked = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(checked.status(), ServingStatus::Serving, "{service:?}");
        watched.push(health.watch(of(service)).await.unwrap().into_inner());
    }
    let unknown = health.check(of("log.v2.Log")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("log.v1.Log"), "{unknown:?}");
    let mut strange = health.watch(of("log.v2.Log")).await.unwrap().into_inner();
    assert_eq!(strange.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);

    for stream in &mut watched {
        assert_eq!(stream.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    }
    let asked = std::time::Instant::now();
    let (code, node) = tokio::task::spawn_blocking(move || (node.terminate(), node)).await.unwrap();
    assert_eq!(code, Some(0), "{}", node.stderr());
    assert!(asked.elapsed() < std::time::Duration::from_secs(4), "watchers held it: {:?}", asked.elapsed());
    for stream in &mut watched {
        assert_eq!(stream.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert!(stream.next().await.is_none());
    }
    assert!(strange.next().await.is_none(), "nothing new to say of what is unknown");
}

/// The services that a node's reflection lists, in either version of the protocol.
macro_rules! listed {
    ($version:ident, $node:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask =
            |message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
        let requests = vec![
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("log.v1.Log.ProduceStream".to_owned())),
        ];
        let mut reflection = ServerReflectionClient::new(channel(&$node.rpc).unwrap());
        let mut answers = reflection.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
        let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = answer else { panic!("no list: {answer:?}") };
        let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
        list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn a_tool_without_protos_finds_the_services() {
    let node = Node::start_with(&[]);
    for services in [listed!(v1, node), listed!(v1alpha, node)] {
        for wanted in ["log.v1.Log", "log.v1.AdminService", "grpc.health.v1.Health"] {
            assert!(services.iter().any(|name| name == wanted), "{wanted} is not in {services:?}");
        }
    }
    must(&["produce", "--addr", &node.rpc], b"hi\n");
}
