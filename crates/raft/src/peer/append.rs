//! A follower's side of replication.

use super::room::Room;
use crate::node::Node;
use crate::produce::ENTRY_OVERHEAD_BYTES;
use crate::space::{Full, Promised};
use crate::types::{Payload, RaftEntry, TypeConfig};
use crate::wire;
use futures_util::stream::{self, Stream, StreamExt};
use openraft::errors::Fatal;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use seedlog_api::raft_v1 as v1;
use seedlog_runtime::buggify;
use std::sync::{Arc, Mutex};
use tonic::Status;

type Requests = stream::BoxStream<'static, Result<v1::AppendRequest, Status>>;

/// Why no more is taken in.
#[derive(Clone, Default)]
struct Ended {
    status: Arc<Mutex<Option<Status>>>,
}

impl Ended {
    fn with(&self, status: Status) {
        self.status.lock().expect("no holder panics").get_or_insert(status);
    }

    fn take(&self) -> Option<Status> {
        self.status.lock().expect("no holder panics").take()
    }
}

/// Answers the requests in turn, until one does not match, or the leader or this node has enough.
pub fn serve(node: Node, requests: Requests) -> impl Stream<Item = Result<v1::AppendResponse, Status>> + Send {
    let room = Room::new();
    let ended = Ended::default();
    let stopped = node.clone();
    let taken = take(node.clone(), requests, room.clone(), ended.clone());
    let results = results(&node, taken);
    let answers = results.map(move |result| {
        room.give_back();
        match result {
            Ok(result) => Ok(wire::appended(&result)),
            Err(fatal) => Err(Status::unavailable(stopped.stopped_by(&fatal).to_string())),
        }
    });
    answers.chain(stream::once(async move { ended.take().map(Err) }).filter_map(std::future::ready))
}

fn results(
    node: &Node,
    taken: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
) -> stream::BoxStream<'static, Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>> {
    node.raft().stream_append(taken).boxed()
}

/// The requests that openraft gets to see.
fn take(
    node: Node,
    requests: Requests,
    room: Room,
    ended: Ended,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
    stream::unfold((node, requests), move |(node, mut requests)| {
        let (room, ended) = (room.clone(), ended.clone());
        async move {
            let request = match requests.next().await? {
                Ok(request) => wire::from_append(request).map_err(Status::from),
                Err(status) => Err(status),
            };
            let request = match request {
                Ok(request) => request,
                Err(status) => {
                    ended.with(status);
                    return None;
                }
            };
            if buggify!("append_ended") {
                ended.with(Status::unavailable("this node has had enough"));
                return None;
            }
            // The log store must never see a full disk. What keeps the cluster together is small, and what
            // the reserve is for.
            let bytes = request.entries.iter().map(bytes_of).sum();
            let promised = match admit(&node, &request.entries, bytes).await {
                Ok(promised) => promised,
                Err(full) => {
                    let Full { wanted_bytes, free_bytes, reserve_bytes } = full;
                    let what = format!(
                        "no room for {wanted_bytes} bytes: {free_bytes} are free on this node's disk, of which \
                         {reserve_bytes} are kept back"
                    );
                    ended.with(Status::resource_exhausted(what));
                    return None;
                }
            };
            room.take(bytes, promised).await;
            Some((request, (node, requests)))
        }
    })
}

/// A heartbeat needs no room. What keeps the cluster together is small, and what the reserve is for.
async fn admit(node: &Node, entries: &[RaftEntry], bytes: usize) -> Result<Option<Promised>, Full> {
    if entries.is_empty() {
        return Ok(None);
    }
    let all = (bytes + entries.len() * ENTRY_OVERHEAD_BYTES) as u64;
    let admitted = match entries.iter().any(has_records) {
        true => node.space().admit(all).await,
        false => node.space().admit_small(all).await,
    };
    admitted.map(Some)
}

fn has_records(entry: &RaftEntry) -> bool {
    matches!(&entry.payload, Payload::Normal(proposal) if !proposal.command)
}

fn bytes_of(entry: &RaftEntry) -> usize {
    match &entry.payload {
        Payload::Normal(proposal) => proposal.payload.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}
