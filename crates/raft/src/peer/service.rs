//! What this node answers its peers.

use super::lend::{self, Asked};
use super::{append, forward};
use crate::node::Node;
use crate::repair::Repairing;
use crate::tally::Tally;
use crate::types::{self, TypeConfig};
use crate::wire;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use openraft::errors::{Fatal, RaftError};
use openraft::raft::TransferLeaderRequest;
use prost::Message;
use seedlog_api::raft_v1 as v1;
use seedlog_api::raft_v1::raft_server::{Raft, RaftServer};
use seedlog_log::{Checkpoint, Identity, Lender};
use seedlog_runtime::rpc::{MESSAGE_BYTES_MAX, Services, wire as as_encoded, wire_stream};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Adds `raft.v1.RaftService` to what a listener serves.
pub fn add_peer_service(services: Services, node: Node) -> Services {
    let me = Identity { cluster_id: node.config().cluster_id, node_id: node.config().node_id };
    let tally = node.tally().clone();
    add(services, Service { me, has: Has::Node(node), tally })
}

/// Adds that part of `raft.v1.RaftService` that a node can answer while it repairs its log.
pub fn add_lending_service(services: Services, repairing: &Repairing) -> Services {
    let Repairing { me, lender, tally, .. } = repairing.clone();
    add(services, Service { me, has: Has::Lender(lender), tally })
}

fn add(services: Services, service: Service) -> Services {
    let server = RaftServer::new(service);
    services.add(server.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
}

#[derive(Clone)]
struct Service {
    me: Identity,
    has: Has,
    tally: Tally,
}

#[derive(Clone)]
enum Has {
    Node(Node),
    Lender(Arc<Lender>),
}

impl Service {
    /// # Errors
    /// As [`Service::check`], or if the node's Raft does not run yet.
    fn node(&self, route: Option<&v1::Route>) -> Result<&Node, Status> {
        self.check(route)?;
        match &self.has {
            Has::Node(node) => Ok(node),
            Has::Lender(_) => Err(Status::unavailable("this node repairs its log")),
        }
    }

    /// # Errors
    /// If the call is for another node, or another cluster: its address is this one's now.
    fn check(&self, route: Option<&v1::Route>) -> Result<(), Status> {
        let (meant, group) = wire::destination(route)?;
        if meant != self.me {
            let me = self.me;
            return Err(Status::failed_precondition(format!("this is {me}, and the call is for {meant}")));
        }
        if group != 0 {
            return Err(Status::unimplemented(format!("there is no Raft group {group} here")));
        }
        Ok(())
    }
}

fn stopped(node: &Node, fatal: &Fatal<TypeConfig>) -> Status {
    Status::unavailable(node.stopped_by(fatal).to_string())
}

fn failed(node: &Node, error: &RaftError<TypeConfig>) -> Status {
    match error {
        RaftError::Fatal(fatal) => stopped(node, fatal),
        RaftError::APIError(never) => match *never {},
    }
}

type Answers<M> = BoxStream<'static, Result<M, Status>>;

fn received<M: Message + Default>(request: Request<M>) -> Result<M, Status> {
    as_encoded(request.into_inner())
}

fn answer<M: Message + Default>(message: M) -> Result<Response<M>, Status> {
    Ok(Response::new(as_encoded(message)?))
}

/// The first message of a stream, which has the route, and the stream from there on.
async fn opened<M: Message + Default + Send + 'static>(
    request: Request<Streaming<M>>,
) -> Result<(M, BoxStream<'static, Result<M, Status>>), Status> {
    let mut requests = wire_stream(request.into_inner()).boxed();
    let first = requests.try_next().await?.ok_or_else(|| Status::invalid_argument("a stream without a request"))?;
    Ok((first, requests))
}

fn again<M: Clone + Send + 'static>(first: M, rest: BoxStream<'static, Result<M, Status>>) -> Answers<M> {
    futures_util::stream::iter([Ok(first)]).chain(rest).boxed()
}

#[tonic::async_trait]
impl Raft for Service {
    type AppendStream = Answers<v1::AppendResponse>;
    type ForwardStream = Answers<v1::ForwardResponse>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (first, rest) = opened(request).await?;
        let node = self.node(first.route.as_ref())?;
        let leader = wire::from_ballot(first.leader)?;
        node.may_append(&leader, first.acknowledged)?;
        let answers = append::serve(node.clone(), again(first, rest)).take_until(node.clone().quiet());
        Ok(Response::new(wire_stream(answers).boxed()))
    }

    async fn vote(&self, request: Request<v1::VoteRequest>) -> Result<Response<v1::VoteResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        node.marked().may_promise()?;
        let voted = node.raft().vote(wire::from_vote(request)?).await;
        answer(wire::voted(&voted.map_err(|error| failed(node, &error))?))
    }

    async fn pre_vote(&self, request: Request<v1::PreVoteRequest>) -> Result<Response<v1::PreVoteResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        node.marked().may_promise()?;
        let voted = node.raft().pre_vote(wire::from_pre_vote(request)?).await;
        answer(wire::pre_voted(&voted.map_err(|error| failed(node, &error))?))
    }

    async fn install_snapshot(
        &self,
        request: Request<v1::InstallSnapshotRequest>,
    ) -> Result<Response<v1::InstallSnapshotResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        let leader = wire::from_ballot(request.leader)?;
        node.may_append(&leader, request.acknowledged)?;
        let checkpoint = Checkpoint::decode(&request.checkpoint);
        let snapshot = checkpoint.and_then(types::snapshot_of);
        let snapshot =
            snapshot.map_err(|bad| Status::invalid_argument(format!("a snapshot that does not decode: {bad}")))?;
        let installed = node.raft().install_full_snapshot(leader, snapshot).await;
        let installed = installed.map_err(|fatal| stopped(node, &fatal))?;
        answer(v1::InstallSnapshotResponse { ballot: Some(wire::ballot(&installed.vote)) })
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        let leader = wire::from_ballot(request.leader)?;
        if request.to == self.me.node_id {
            node.marked().may_promise()?;
        }
        let request = TransferLeaderRequest::new(leader, request.to, request.last.map(wire::from_log_id));
        let taken = node.raft().handle_transfer_leader(request).await;
        let taken = taken.map_err(|fatal| stopped(node, &fatal))?;
        let refused = taken.err().map_or_else(String::new, |refused| refused.to_string());
        answer(v1::TransferLeaderResponse { refused })
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        let read = node.read_log_id_here().await.map_err(|error| Status::unavailable(error.to_string()))?;
        answer(v1::ReadIndexResponse { read: Some(wire::log_id(read)) })
    }

    async fn room(&self, request: Request<v1::RoomRequest>) -> Result<Response<v1::RoomResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        answer(v1::RoomResponse { bytes: node.room_for_records().await })
    }

    async fn forward(
        &self,
        request: Request<Streaming<v1::ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let (first, rest) = opened(request).await?;
        let node = self.node(first.route.as_ref())?;
        let answers = forward::serve(node.clone(), again(first, rest));
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }

    async fn change(&self, request: Request<v1::ChangeRequest>) -> Result<Response<v1::ChangeResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        let change = request.change.ok_or_else(|| Status::invalid_argument("a change that changes nothing"))?;
        let changed = node.carry_out(change).await;
        answer(v1::ChangeResponse { failure: changed.err().map(|error| error.to_failure()) })
    }

    async fn lost(&self, request: Request<v1::LostRequest>) -> Result<Response<v1::LostResponse>, Status> {
        let request = received(request)?;
        let node = self.node(request.route.as_ref())?;
        let from = request.route.map(|route| route.from).unwrap_or_default();
        answer(v1::LostResponse { term: node.hear_of_loss(from, request.lost).await })
    }

    async fn entries(&self, request: Request<v1::EntriesRequest>) -> Result<Response<v1::EntriesResponse>, Status> {
        let request = received(request)?;
        self.check(request.route.as_ref())?;
        let asked = Asked::of(&request)?;
        let lent = match &self.has {
            Has::Node(node) => lend::answer(node.store(), &asked).await,
            Has::Lender(lender) => lend::answer(lender, &asked).await,
        };
        self.tally.lent(lent.entries.len());
        answer(lent)
    }
}
