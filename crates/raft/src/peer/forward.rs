//! What clients ask of a follower goes on to the leader: one stream for all of them, so that what one
//! client asked first is proposed first.

use super::network::{Peers, Session, cancellable};
use super::overdue::Owed;
use crate::error::{LeaderHint, ProduceError};
use crate::node::Node;
use crate::produce::Pending;
use crate::stop::StopReason;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};
use seedlog_api::raft_v1 as v1;
use seedlog_api::raft_v1::forward_response::Result as Answer;
use seedlog_log::Outcome;
use seedlog_runtime::rpc::wire as as_encoded;
use seedlog_runtime::select;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// The entry's term, and what applying it gave.
pub type Applied = Result<(u64, Outcome), ProduceError>;

/// Sends on what this node may not propose itself.
#[derive(Clone)]
pub struct Forwarder {
    peers: Peers,
    patience: Duration,
    session: Arc<Mutex<Option<ToLeader>>>,
}

struct ToLeader {
    leader_id: u64,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Job {
    command: bool,
    payload: Bytes,
    answer: oneshot::Sender<Applied>,
}

impl Forwarder {
    pub fn new(peers: Peers, patience: Duration) -> Forwarder {
        Forwarder { peers, patience, session: Arc::default() }
    }

    /// Hands it over. An answer that is dropped says that it was never sent.
    pub fn submit(&self, leader: &LeaderHint, command: bool, payload: Bytes) -> oneshot::Receiver<Applied> {
        let (answer, answered) = oneshot::channel();
        let mut job = Job { command, payload, answer };
        let mut session = self.session.lock().expect("no holder panics");
        if let Some(open) = &*session
            && open.leader_id == leader.node_id
        {
            match open.jobs.send(job) {
                Ok(()) => return answered,
                Err(returned) => job = returned.0,
            }
        }
        let (jobs, queue) = mpsc::unbounded_channel();
        // It cannot fail: the queue is here.
        let _ = jobs.send(job);
        *session = Some(ToLeader { leader_id: leader.node_id, jobs });
        drop(seedlog_runtime::spawn(run(self.peers.clone(), leader.clone(), self.patience, queue)));
        answered
    }
}

/// Sent, and not answered.
#[derive(Clone, Default)]
struct Waiting {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    ended: bool,
    next_id: u64,
    by_id: BTreeMap<u64, oneshot::Sender<Applied>>,
}

impl Waiting {
    /// The number under which it is answered; `None` if nothing is sent any more.
    fn add(&self, answer: oneshot::Sender<Applied>) -> Option<u64> {
        let mut inner = self.inner.lock().expect("no holder panics");
        if inner.ended {
            return None;
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.by_id.insert(id, answer);
        Some(id)
    }

    fn answer(&self, id: u64, applied: Applied) {
        if let Some(answer) = self.inner.lock().expect("no holder panics").by_id.remove(&id) {
            // Whoever asked may have gone.
            let _ = answer.send(applied);
        }
    }

    fn end(&self, reason: &str) {
        let mut inner = self.inner.lock().expect("no holder panics");
        inner.ended = true;
        for answer in std::mem::take(&mut inner.by_id).into_values() {
            let _ = answer.send(Err(ProduceError::Unknown { reason: reason.to_owned() }));
        }
    }
}

async fn run(peers: Peers, leader: LeaderHint, patience: Duration, queue: mpsc::UnboundedReceiver<Job>) {
    let waiting = Waiting::default();
    let owed = Owed::default();
    let route = peers.route(leader.node_id);
    let requests = requests(route, queue, waiting.clone(), owed.clone());
    let (_session, requests): (Session, _) = cancellable(requests);
    let ended = select! {
        ended = converse(&peers, &leader, requests, &waiting, &owed) => ended,
        () = owed.overdue(patience) => Status::deadline_exceeded(format!("no answer for {patience:?}")),
    };
    let reason =
        format!("node {:016x} at {}, asked to propose it: {}", leader.node_id, leader.rpc_addr, ended.message());
    waiting.end(&reason);
}

fn requests(
    route: Option<v1::Route>,
    queue: mpsc::UnboundedReceiver<Job>,
    waiting: Waiting,
    owed: Owed,
) -> impl Stream<Item = v1::ForwardRequest> + Send + 'static {
    stream::unfold((route, queue), move |(route, mut queue)| {
        let (waiting, owed) = (waiting.clone(), owed.clone());
        async move {
            let Job { command, payload, answer } = queue.recv().await?;
            let id = waiting.add(answer)?;
            owed.sent(payload.len());
            Some((v1::ForwardRequest { route, id, command, payload }, (None, queue)))
        }
    })
}

/// Returns how it ended.
async fn converse(
    peers: &Peers,
    leader: &LeaderHint,
    requests: impl Stream<Item = v1::ForwardRequest> + Send + 'static,
    waiting: &Waiting,
    owed: &Owed,
) -> Status {
    let mut client = match peers.client(leader.node_id, &leader.rpc_addr) {
        Ok(client) => client,
        Err(status) => return status,
    };
    let mut answers = match client.forward(requests).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.next().await.map(|answer| answer.and_then(as_encoded)) {
            Some(Ok(answer)) => {
                owed.answered();
                waiting.answer(answer.id, from_answer(answer.result));
            }
            Some(Err(status)) => return status,
            None => return Status::unavailable("it ended the stream"),
        }
    }
}

fn from_answer(answer: Option<Answer>) -> Applied {
    let unknown = |reason: &str| ProduceError::Unknown { reason: reason.to_owned() };
    match answer {
        Some(Answer::Applied(applied)) => match serde_json::from_slice(&applied.outcome) {
            Ok(outcome) => Ok((applied.term, outcome)),
            Err(_) => Err(unknown("the leader's answer does not decode")),
        },
        Some(Answer::Failure(failure)) => Err(from_failure(failure)),
        None => Err(unknown("the leader's answer is empty")),
    }
}

pub fn from_failure(failure: v1::Failure) -> ProduceError {
    use v1::FailureKind;
    let leader = (failure.leader_id != 0)
        .then(|| LeaderHint { node_id: failure.leader_id, rpc_addr: failure.leader_rpc_addr.clone() });
    match failure.kind() {
        FailureKind::Unspecified => ProduceError::Unknown { reason: failure.reason },
        FailureKind::NotLeader | FailureKind::Stopped => ProduceError::NotLeader { leader },
        FailureKind::DiskFull => {
            let v1::Failure { wanted_bytes, free_bytes, reserve_bytes, .. } = failure;
            ProduceError::DiskFull { wanted_bytes, free_bytes, reserve_bytes }
        }
        // What is wrong with a request is found before it is sent on.
        FailureKind::Refused => ProduceError::Unknown { reason: failure.reason },
    }
}

pub fn failure(error: &ProduceError) -> v1::Failure {
    use v1::FailureKind;
    let failure =
        |kind: FailureKind| v1::Failure { kind: kind.into(), reason: error.to_string(), ..v1::Failure::default() };
    match error {
        ProduceError::Unknown { reason } => v1::Failure { reason: reason.clone(), ..v1::Failure::default() },
        ProduceError::NotLeader { leader } => {
            let (leader_id, leader_rpc_addr) =
                leader.as_ref().map_or((0, String::new()), |leader| (leader.node_id, leader.rpc_addr.clone()));
            v1::Failure { leader_id, leader_rpc_addr, ..failure(FailureKind::NotLeader) }
        }
        &ProduceError::DiskFull { wanted_bytes, free_bytes, reserve_bytes } => {
            v1::Failure { wanted_bytes, free_bytes, reserve_bytes, ..failure(FailureKind::DiskFull) }
        }
        ProduceError::Stopped(StopReason::Shutdown | StopReason::Failed(_)) => failure(FailureKind::Stopped),
        ProduceError::Empty | ProduceError::TooLarge { .. } | ProduceError::Refused(_) => failure(FailureKind::Refused),
    }
}

/// The leader's side: proposes in turn, and answers as answers come.
pub fn serve(
    node: Node,
    requests: impl Stream<Item = Result<v1::ForwardRequest, Status>> + Send + 'static,
) -> mpsc::Receiver<Result<v1::ForwardResponse, Status>> {
    /// Answers handed to the transport and not yet taken by it.
    const ANSWERS_AHEAD: usize = 64;
    let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
    drop(seedlog_runtime::spawn(pump(node, requests, sender)));
    answers
}

async fn pump(
    node: Node,
    requests: impl Stream<Item = Result<v1::ForwardRequest, Status>> + Send + 'static,
    answers: mpsc::Sender<Result<v1::ForwardResponse, Status>>,
) {
    let mut requests = Box::pin(requests.fuse());
    let mut under_way: FuturesUnordered<BoxFuture<'static, v1::ForwardResponse>> = FuturesUnordered::new();
    // Waits for room, and so must not keep those from being answered who give it back.
    let mut proposing: Option<BoxFuture<'static, (u64, Result<Pending, ProduceError>)>> = None;
    let mut taking = true;
    let mut quiet = Box::pin(node.clone().quiet());
    while taking || proposing.is_some() || !under_way.is_empty() {
        select! {
            () = answers.closed() => return,
            () = &mut quiet, if taking => taking = false,
            answer = under_way.next(), if !under_way.is_empty() => {
                if let Some(answer) = answer
                    && answers.send(as_encoded(answer)).await.is_err()
                {
                    return;
                }
            }
            (id, proposed) = async { proposing.as_mut().expect("checked").await }, if proposing.is_some() => {
                proposing = None;
                under_way.push(async move {
                    let applied = match proposed {
                        Ok(pending) => pending.applied().await,
                        Err(refused) => Err(refused),
                    };
                    answer_of(id, applied)
                }.boxed());
            }
            request = requests.next(), if taking && proposing.is_none() => match request {
                Some(Ok(v1::ForwardRequest { id, command, payload, .. })) => {
                    let node = node.clone();
                    proposing = Some(async move { (id, node.propose_here(command, payload).await) }.boxed());
                }
                // The follower has gone: what is proposed stays so.
                Some(Err(_)) | None => taking = false,
            },
        }
    }
}

fn answer_of(id: u64, applied: Applied) -> v1::ForwardResponse {
    let result = match applied {
        Ok((term, outcome)) => {
            let outcome = serde_json::to_vec(&outcome).expect("numbers always encode").into();
            Answer::Applied(v1::Applied { term, outcome })
        }
        Err(error) => Answer::Failure(failure(&error)),
    };
    v1::ForwardResponse { id, result: Some(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_log::Refusal;

    #[test]
    fn what_the_log_decided_arrives_as_it_was() {
        let refused = Outcome::Refused(Refusal::ExpectedOffset { expected: 3, next: u64::MAX });
        for outcome in [Outcome::Appended { first_offset: u64::MAX, count: 2 }, refused, Outcome::Nothing] {
            let answer = answer_of(7, Ok((4, outcome)));
            assert_eq!(answer.id, 7);
            assert_eq!(from_answer(answer.result), Ok((4, outcome)));
        }
    }

    #[test]
    fn only_what_certainly_did_not_happen_comes_back_as_that() {
        let leader = Some(LeaderHint { node_id: 9, rpc_addr: "a:1".into() });
        let as_it_was = [
            ProduceError::NotLeader { leader },
            ProduceError::NotLeader { leader: None },
            ProduceError::DiskFull { wanted_bytes: 3, free_bytes: 1, reserve_bytes: 2 },
            ProduceError::Unknown { reason: "why".into() },
        ];
        for error in as_it_was {
            assert_eq!(from_answer(answer_of(0, Err(error.clone())).result), Err(error));
        }
        assert!(matches!(from_answer(None), Err(ProduceError::Unknown { .. })));
        // Another node may take it.
        let stopped = answer_of(0, Err(ProduceError::Stopped(StopReason::Shutdown)));
        assert_eq!(from_answer(stopped.result), Err(ProduceError::NotLeader { leader: None }));
    }

    #[tokio::test]
    async fn what_was_sent_when_the_stream_ends_is_unknown_and_what_was_not_is_dropped() {
        let waiting = Waiting::default();
        let (answer, answered) = oneshot::channel();
        assert_eq!(waiting.add(answer), Some(0));
        waiting.end("gone");
        assert_eq!(answered.await.unwrap(), Err(ProduceError::Unknown { reason: "gone".into() }));
        let (answer, answered) = oneshot::channel();
        assert_eq!(waiting.add(answer), None);
        assert!(answered.await.is_err());
    }
}
