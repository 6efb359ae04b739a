//! The way to the other nodes.

use super::acknowledged::Acknowledged;
use super::lend::Asked;
use super::overdue::Owed;
use crate::addresses::Addresses;
use crate::error::LeaderHint;
use crate::types::{LogId, Peer, Snapshot, TypeConfig, Vote};
use crate::wire;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message;
use seedlog_api::raft_v1 as v1;
use seedlog_api::raft_v1::raft_client::RaftClient;
use seedlog_log::{Checkpoint, Identity};
use seedlog_runtime::rpc::{self, MESSAGE_BYTES_MAX, wire as as_encoded};
use seedlog_runtime::{clock, select};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// While a follower owes an answer, what is appended meanwhile gathers into one request, as it does in front of its
/// disk: each request wakes a dozen tasks on the way there and back. No longer than this, since on a long way it would
/// be the way that is waited for.
const GATHER_MAX: Duration = Duration::from_millis(2);

type Client = RaftClient<Channel>;
type Failure = RPCError<TypeConfig>;
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Dials the other nodes: openraft's links, and what this node asks of the leader.
#[derive(Clone)]
pub struct Peers {
    me: Identity,
    addresses: Addresses,
    /// How long an answer may take before the connection is given up.
    patience: Duration,
    /// For single calls, by node; each with the address it goes to.
    clients: Arc<Mutex<BTreeMap<u64, (String, Client)>>>,
    acknowledged: Acknowledged,
    /// Whether others may be asked for their votes.
    may_stand: Arc<AtomicBool>,
}

impl Peers {
    pub fn new(me: Identity, addresses: Addresses, patience: Duration) -> Peers {
        Peers {
            me,
            addresses,
            patience,
            clients: Arc::default(),
            acknowledged: Acknowledged::default(),
            may_stand: Arc::default(),
        }
    }

    /// openraft goes on with an election that it has begun; no vote counts any more that was asked for before.
    pub fn may_stand(&self, may_stand: bool) {
        self.may_stand.store(may_stand, Ordering::Relaxed);
    }

    pub fn route(&self, to: u64) -> Option<v1::Route> {
        Some(wire::route(self.me, to))
    }

    /// # Errors
    /// If its address is none.
    pub fn client(&self, node_id: u64, known: &str) -> Result<Client, Status> {
        let address = self.addresses.of(node_id, known);
        let mut clients = self.clients.lock().expect("no holder panics");
        if let Some((dialled, client)) = clients.get(&node_id)
            && *dialled == address
        {
            return Ok(client.clone());
        }
        let client = dial(&address)?;
        clients.insert(node_id, (address, client.clone()));
        Ok(client)
    }

    /// What must be applied before a read may be answered, as the leader says after it has asked a majority.
    ///
    /// # Errors
    /// If it does not lead, or does not answer in time.
    pub async fn read_index(&self, leader: &LeaderHint) -> Result<LogId, Status> {
        let mut client = self.client(leader.node_id, &leader.rpc_addr)?;
        let request = v1::ReadIndexRequest { route: self.route(leader.node_id) };
        let answer = as_encoded(within(self.patience, client.read_index(request)).await?.into_inner())?;
        answer.read.map(wire::from_log_id).ok_or_else(|| Status::internal("an answer without a log id"))
    }

    /// How many bytes of records another node's disk would take in.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn room(&self, node_id: u64, known: &str) -> Result<u64, Status> {
        let mut client = self.client(node_id, known)?;
        let request = v1::RoomRequest { route: self.route(node_id) };
        Ok(as_encoded(within(self.patience, client.room(request)).await?.into_inner())?.bytes)
    }

    /// Entries that this node has lost.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn entries(&self, node_id: u64, known: &str, asked: &Asked) -> Result<v1::EntriesResponse, Status> {
        let mut client = self.client(node_id, known)?;
        let request = asked.request(self.route(node_id));
        as_encoded(within(self.patience, client.entries(request)).await?.into_inner())
    }

    /// Tells a leader that entries are lost here that were acknowledged, or that none are any more. Returns the term in
    /// which it leads.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn lost(&self, node_id: u64, known: &str, lost: bool) -> Result<u64, Status> {
        let mut client = self.client(node_id, known)?;
        let request = v1::LostRequest { route: self.route(node_id), lost };
        Ok(as_encoded(within(self.patience, client.lost(request)).await?.into_inner())?.term)
    }

    /// # Errors
    /// What the leader says, or that it does not answer in time.
    pub async fn change(&self, leader: &LeaderHint, change: v1::change_request::Change) -> Result<(), v1::Failure> {
        // As long as the leader may take for it.
        const CHANGE_MAX: Duration = Duration::from_secs(15);
        let unknown = |status: Status| v1::Failure { reason: status.to_string(), ..v1::Failure::default() };
        let mut client = self.client(leader.node_id, &leader.rpc_addr).map_err(unknown)?;
        let request = v1::ChangeRequest { route: self.route(leader.node_id), change: Some(change) };
        let answer = within(CHANGE_MAX, client.change(request)).await.map_err(unknown)?;
        answer.into_inner().failure.map_or(Ok(()), Err)
    }
}

fn dial(address: &str) -> Result<Client, Status> {
    let channel = rpc::channel(address).map_err(|bad| Status::unavailable(bad.to_string()))?;
    let client = RaftClient::new(channel);
    Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
}

async fn within<T>(longest: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded(format!("no answer within {longest:?}")));
    clock::timeout(longest, call).await.unwrap_or_else(late)
}

/// Why a node did not do what it was asked, for people. One that does not know the call says nothing itself.
pub fn why_not(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "it is of a version that does not know what it was asked".to_owned(),
        _ => status.message().to_owned(),
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Link;

    async fn new_client(&mut self, target: u64, peer: &Peer) -> Link {
        Link { peers: self.clone(), target, known: peer.rpc_addr.clone(), dialled: None }
    }
}

/// One of openraft's ways to one node. Each has a connection of its own: votes and heartbeats do not
/// wait behind records.
pub struct Link {
    peers: Peers,
    target: u64,
    known: String,
    dialled: Option<(String, Client)>,
}

impl Link {
    fn client(&mut self) -> Result<Client, Failure> {
        let address = self.peers.addresses.of(self.target, &self.known);
        if let Some((dialled, client)) = &self.dialled
            && *dialled == address
        {
            return Ok(client.clone());
        }
        let client = dial(&address).map_err(|status| self.unreachable(&status))?;
        self.dialled = Some((address, client.clone()));
        Ok(client)
    }

    fn route(&self) -> Option<v1::Route> {
        self.peers.route(self.target)
    }

    fn unreachable(&self, status: &Status) -> Failure {
        let address = self.peers.addresses.of(self.target, &self.known);
        let what = format!("node {:016x} at {address}: {:?}: {}", self.target, status.code(), status.message());
        Unreachable::from_string(what).into()
    }

    fn malformed(&self, malformed: wire::Malformed) -> Failure {
        self.unreachable(&malformed.into())
    }

    fn late(&self, action: RPCTypes, timeout: Duration) -> Failure {
        Timeout { action, id: self.peers.me.node_id, target: self.target, timeout }.into()
    }

    async fn call<M: Message + Default>(
        &self,
        action: RPCTypes,
        longest: Duration,
        call: impl Future<Output = Result<tonic::Response<M>, Status>>,
    ) -> Result<M, Failure> {
        match clock::timeout(longest, call).await {
            Err(_) => Err(self.late(action, longest)),
            Ok(Err(status)) => Err(self.unreachable(&status)),
            Ok(Ok(answer)) => as_encoded(answer.into_inner()).map_err(|status| self.unreachable(&status)),
        }
    }

    fn stands(&self) -> Result<(), Failure> {
        match self.peers.may_stand.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Unreachable::from_string("this node has lost the end of its log, and does not stand").into()),
        }
    }

    async fn ask_for_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        longest: Duration,
        pre: bool,
    ) -> Result<VoteResponse<TypeConfig>, Failure> {
        self.stands()?;
        let mut client = self.client()?;
        let voted = if pre {
            let request = v1::PreVoteRequest { route: self.route(), ..wire::pre_vote(&request) };
            wire::from_pre_voted(self.call(RPCTypes::Vote, longest, client.pre_vote(request)).await?)
        } else {
            let request = v1::VoteRequest { route: self.route(), ..wire::vote(&request) };
            wire::from_voted(self.call(RPCTypes::Vote, longest, client.vote(request)).await?)
        };
        self.stands()?;
        voted.map_err(|malformed| self.malformed(malformed))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Checkpoint;

    /// One request: openraft itself uses the stream.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failure> {
        let answer = self.stream_append(stream::iter([request]), option).await?.next().await;
        let answer = answer.unwrap_or_else(|| Err(self.unreachable(&Status::unavailable("it gave no answer"))));
        answer.map(AppendEntriesResponse::from)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut requests: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Failure>>, Failure>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // openraft's pause after failures is in here: to connect first would be to hammer at a node
            // that is down.
            let Some(first) = requests.next().await else { return Ok(stream::empty().boxed()) };
            let mut client = self.client()?;
            let owed = Owed::default();
            let route = self.route();
            let leader = first.vote;
            let acknowledged = self.peers.acknowledged.to(&leader, self.target).map(wire::log_id);
            let first = v1::AppendRequest { route, acknowledged, ..wire::append(&first) };
            let rest = stream::unfold((requests, owed.clone()), |(mut requests, owed)| async move {
                owed.settled(GATHER_MAX).await;
                requests.next().await.map(|request| (wire::append(&request), (requests, owed)))
            });
            let counted = owed.clone();
            let requests =
                stream::iter([first]).chain(rest).inspect(move |request| counted.sent(request.encoded_len()));
            let (session, requests) = cancellable(requests);

            let patience = self.peers.patience;
            let answers = select! {
                answers = client.append(requests) => answers,
                () = owed.overdue(patience) => return Err(self.late(RPCTypes::AppendEntries, patience)),
            };
            let answers = answers.map_err(|status| self.unreachable(&status))?.into_inner();
            let link: &'s Link = self;
            let open = Some((answers, owed, session));
            let answers = stream::unfold(open, move |open| async move {
                let (mut answers, owed, session) = open?;
                let answer = select! {
                    answer = answers.next() => answer?,
                    () = owed.overdue(patience) => {
                        return Some((Err(link.late(RPCTypes::AppendEntries, patience)), None));
                    }
                };
                owed.answered();
                let answer = answer.and_then(as_encoded).map_err(|status| link.unreachable(&status));
                let answer = answer.and_then(|answer| wire::from_appended(answer).map_err(|bad| link.malformed(bad)));
                if let Ok(Ok(Some(last))) = &answer {
                    link.peers.acknowledged.note(link.target, &leader, *last);
                }
                let open = matches!(answer, Ok(Ok(_))).then_some((answers, owed, session));
                Some((answer, open))
            });
            Ok(answers.boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failure> {
        self.ask_for_vote(request, option.hard_ttl(), false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failure> {
        self.ask_for_vote(request, option.hard_ttl(), true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut client = self.client()?;
        let request = v1::InstallSnapshotRequest {
            route: self.route(),
            leader: Some(wire::ballot(&vote)),
            checkpoint: snapshot.snapshot.encode(),
            acknowledged: self.peers.acknowledged.to(&vote, self.target).map(wire::log_id),
        };
        let call = self.call(RPCTypes::InstallSnapshot, option.hard_ttl(), client.install_snapshot(request));
        let answer = select! {
            closed = cancel => return Err(closed.into()),
            answer = call => answer?,
        };
        let vote = wire::from_ballot(answer.ballot).map_err(|malformed| self.malformed(malformed))?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Failure> {
        let mut client = self.client()?;
        let leader = *request.from_leader();
        let message = v1::TransferLeaderRequest {
            route: self.route(),
            leader: Some(wire::ballot(&leader)),
            last: request.last_log_id().copied().map(wire::log_id),
            to: *request.to_node_id(),
        };
        let call = client.transfer_leader(message);
        let answer = self.call(RPCTypes::TransferLeader, option.hard_ttl(), call).await?;
        if answer.refused.is_empty() {
            return Ok(Ok(()));
        }
        tracing::info!(target = self.target, reason = answer.refused, "leadership was not taken over");
        Ok(Err(TransferLeaderError::VoteChanged { expected: leader, actual: leader }))
    }
}

/// Ends a stream of requests when it is dropped, whatever the transport still does with the stream: a
/// session that is over must not hold what the next one needs.
pub struct Session {
    _open: oneshot::Sender<std::convert::Infallible>,
}

pub fn cancellable<S>(requests: S) -> (Session, impl Stream<Item = S::Item> + Send + 'static)
where
    S: Stream + Send + 'static,
    S::Item: Send,
{
    let (open, closed) = oneshot::channel();
    let state = Some((Box::pin(requests), closed));
    let requests = stream::unfold(state, |state| async move {
        let (mut requests, mut closed) = state?;
        let next = select! {
            _ = &mut closed => None,
            next = requests.next() => next,
        };
        next.map(|next| (next, Some((requests, closed))))
    });
    (Session { _open: open }, requests)
}
