//! etcd's `KV/Put`, as its own `benchmark put` does it: so many calls at once, spread over some HTTP/2
//! connections to the leader, each put of a new key.

use crate::args::Calls;
use crate::error::{BenchError, io};
use crate::figures::{Figures, Recorder, value};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// More than these made no more puts: on two processors the members are what is waited for.
const CONNECTIONS_MAX: u32 = 8;
/// A cluster has a leader long before.
const LEADER_MAX: Duration = Duration::from_secs(30);
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// Of etcdserverpb, the fields that are used here.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

pub fn run(args: &Calls) -> Result<Figures, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("tokio"))?;
    runtime.block_on(async {
        let leader = leader(&args.addr).await?;
        let mut channels = Vec::new();
        for _ in 0..args.in_flight.min(CONNECTIONS_MAX) {
            channels.push(endpoint(&leader)?.connect().await?);
        }
        let mut all = Recorder::start(args.warm_up, args.seconds);
        let tasks: Vec<_> = (0..args.in_flight)
            .zip(channels.iter().cycle().cloned())
            .map(|(number, channel)| tokio::spawn(puts(channel, number, args.size, all.beside())))
            .collect();
        for task in tasks {
            all.add(&task.await.expect("no task panics").map_err(Box::new)?);
        }
        Ok(all.figures())
    })
}

fn endpoint(addr: &str) -> Result<Endpoint, BenchError> {
    Ok(Endpoint::from_shared(format!("http://{addr}"))?.tcp_nodelay(true))
}

async fn puts(channel: Channel, task: u32, size: u32, mut recorder: Recorder) -> Result<Recorder, Status> {
    let mut client = Grpc::new(channel);
    let value = Bytes::from(value(size));
    let mut number = 0_u32;
    // So that keys of one run are not those of another.
    let run = std::process::id();
    while recorder.goes_on() {
        let key = Bytes::from([run.to_be_bytes(), task.to_be_bytes(), number.to_be_bytes()].concat());
        let made = Instant::now();
        let put = PutRequest { key, value: value.clone() };
        let _: PutResponse = unary(&mut client, "/etcdserverpb.KV/Put", put).await?;
        recorder.call(made, 1, size.into());
        number += 1;
    }
    Ok(recorder)
}

/// Which of these addresses leads; waits until one does.
async fn leader(addrs: &str) -> Result<String, BenchError> {
    let deadline = Instant::now() + LEADER_MAX;
    let mut said = String::new();
    while Instant::now() < deadline {
        for addr in addrs.split(',') {
            match leads(addr).await {
                Ok(true) => return Ok(addr.to_owned()),
                Ok(false) => {}
                Err(error) => said = error.to_string(),
            }
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
    Err(BenchError::NoLeader { program: "etcd", addrs: addrs.to_owned(), after: LEADER_MAX, said })
}

async fn leads(addr: &str) -> Result<bool, BenchError> {
    let mut client = Grpc::new(endpoint(addr)?.connect().await?);
    let status: StatusResponse =
        unary(&mut client, "/etcdserverpb.Maintenance/Status", StatusRequest {}).await.map_err(Box::new)?;
    Ok(status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader))
}

async fn unary<Q, A>(client: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    Ok(client.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// The numbers of rpc.proto: a wrong one would be an empty key or value, and a put all the same.
    #[test]
    fn the_field_numbers_are_etcds() {
        let put = PutRequest { key: "k".into(), value: "v".into() };
        assert_eq!(put.encode_to_vec(), b"\x0a\x01k\x12\x01v");
        let status = StatusResponse::decode(b"\x0a\x04\x08\x01\x10\x07\x12\x013\x18\x05\x20\x07".as_slice()).unwrap();
        assert_eq!(status, StatusResponse { header: Some(Header { member_id: 7 }), leader: 7 });
    }
}
