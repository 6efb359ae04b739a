//! The fast road in: requests are taken in as they come and answered in their order.
//!
//! Each is proposed when it is taken in, without waiting for the answers to those before it, so those of
//! one stream share writes and syncs with each other and with everybody else's; at most `in_flight_max`
//! are taken in and not answered.
//!
//! **A request that fails.** A client that set `errors_in_answers` in it gets the failure as `error` of
//! that request's answer, and the stream goes on. For a client that did not (the book's, which does not
//! know the field) an answer with an `error` would read as success at offset 0, so the stream ends with
//! the status instead, after the answers to all requests before it. Nothing after a request that was
//! refused is taken in. What was already in flight behind one that failed later is not answered any
//! more: its outcome is unknown to the client.

use crate::produce::accept;
use crate::service::Service;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use seedlog_api::ApiError;
use seedlog_api::v1::{ProduceRequest, ProduceResponse};
use seedlog_log::RecordBatch;
use std::collections::VecDeque;
use std::future::ready;
use std::pin::pin;
use tokio::sync::mpsc;
use tonic::Status;

type Answer = Result<ProduceResponse, Status>;

/// A request that is handed over to Raft, or was refused.
struct Pending {
    answer: BoxFuture<'static, Answer>,
    /// The stream takes in nothing after it.
    ends: bool,
}

/// Takes requests in until they end, the node stops, or one fails for good; then answers what is in
/// flight. Ends early if nobody listens to the answers any more.
///
/// This is a task of its own, not a stream that its transport polls: a client that does not read its
/// answers must not keep what it has proposed from being driven on, since that may hold a place in a
/// queue that everybody shares.
pub(crate) async fn pump<S>(service: Service, requests: S, answers: mpsc::Sender<Answer>)
where
    S: Stream<Item = Result<ProduceRequest, Status>> + Send,
{
    let mut requests = pin!(requests);
    // One at a time, so that a stream's records keep their order also when there is no room at once.
    let mut proposing: Option<BoxFuture<'static, Pending>> = None;
    let mut in_flight: FuturesOrdered<BoxFuture<'static, Answer>> = FuturesOrdered::new();
    let mut answered: VecDeque<Answer> = VecDeque::new();
    let mut taking = true;
    loop {
        if !taking && proposing.is_none() && in_flight.is_empty() && answered.is_empty() {
            return;
        }
        let room = in_flight.len() + answered.len() < service.limits().in_flight_max;
        seedlog_runtime::select! {
            () = answers.closed() => return,
            permit = answers.reserve(), if !answered.is_empty() => {
                let (Ok(permit), Some(answer)) = (permit, answered.pop_front()) else { return };
                let last = answer.is_err();
                permit.send(answer);
                if last {
                    return;
                }
            }
            Some(answer) = in_flight.next(), if !in_flight.is_empty() => {
                taking &= answer.is_ok();
                answered.push_back(answer);
            }
            pending = async { proposing.as_mut().expect("checked by the branch").await }, if proposing.is_some() => {
                proposing = None;
                // Refused for good: nothing after it may go in.
                taking &= !pending.ends;
                in_flight.push_back(pending.answer);
            }
            () = service.stopping().wait(), if taking && proposing.is_none() => {
                taking = false;
                in_flight.push_back(ready(Err(ApiError::ShuttingDown.into())).boxed());
            }
            request = requests.next(), if taking && proposing.is_none() && room => match request {
                Some(Ok(request)) => {
                    let in_answer = request.errors_in_answers;
                    match accept(request, service.limits()) {
                        Ok(batch) => {
                            let service = service.clone();
                            proposing = Some(async move { service.propose(batch, in_answer).await }.boxed());
                        }
                        Err(refused) => {
                            taking = in_answer;
                            in_flight.push_back(ready(failure(refused, in_answer)).boxed());
                        }
                    }
                }
                Some(Err(status)) => {
                    taking = false;
                    in_flight.push_back(ready(Err(status)).boxed());
                }
                None => taking = false,
            },
        }
    }
}

impl Service {
    /// Hands the records over; what comes back is the wait for their answer.
    async fn propose(self, batch: RecordBatch, in_answer: bool) -> Pending {
        match self.node().propose(batch).await {
            Err(refused) => {
                let answer = ready(failure(self.produce_error(refused), in_answer)).boxed();
                Pending { answer, ends: !in_answer }
            }
            Ok(pending) => {
                let answer = async move {
                    match pending.outcome().await {
                        Ok(produced) => Ok(crate::produce::response(produced)),
                        Err(failed) => failure(self.produce_error(failed), in_answer),
                    }
                };
                Pending { answer: answer.boxed(), ends: false }
            }
        }
    }
}

fn failure(error: ApiError, in_answer: bool) -> Answer {
    if in_answer {
        Ok(ProduceResponse { error: Some(error.to_stream_error()), ..ProduceResponse::default() })
    } else {
        Err(error.into())
    }
}
