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

use crate::produce::{accept, response};
use crate::service::Service;
use futures_util::{Stream, StreamExt as _};
use seedlog_api::ApiError;
use seedlog_api::v1::{ProduceRequest, ProduceResponse};
use seedlog_log::RecordBatch;
use seedlog_raft::Pending;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::Status;

type Answer = Result<ProduceResponse, Status>;

/// A request that was taken in, in its place in the order of answers.
enum Owed {
    /// It is handed over to Raft.
    Outcome { pending: Pending, in_answer: bool },
    /// It was refused.
    Answer(Answer),
}

/// Takes requests in until they end, the node stops, or one fails for good; then answers what is in
/// flight. Ends early if nobody listens to the answers any more.
///
/// This is a task of its own, not a stream that its transport polls: a client that does not read its
/// answers must not keep what it has proposed from being driven on, since that may hold a place in a
/// queue that everybody shares.
///
/// What is proposed needs no driving, so that of all that is in flight only the first is waited for: when it
/// is answered, those behind it mostly are, too, and none of them has woken anybody.
pub(crate) async fn pump<S>(service: Service, requests: S, answers: mpsc::Sender<Answer>)
where
    S: Stream<Item = Result<ProduceRequest, Status>> + Send,
{
    let mut requests = pin!(requests);
    // One at a time, so that a stream's records keep their order also when there is no room at once.
    let mut proposing = pin!(none_from(|(batch, in_answer)| service.propose(batch, in_answer)));
    let mut first = pin!(none_from(|owed| service.answer(owed)));
    let mut behind: VecDeque<Owed> = VecDeque::new();
    let mut answered: VecDeque<Answer> = VecDeque::new();
    let mut taking = true;
    loop {
        while let Some(answer) = answered.pop_front() {
            let last = answer.is_err();
            match answers.try_send(answer) {
                Ok(()) if !last => {}
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(answer)) => {
                    answered.push_front(answer);
                    break;
                }
            }
        }
        if first.is_none()
            && let Some(owed) = behind.pop_front()
        {
            first.set(Some(service.answer(owed)));
        }
        if taking && proposing.is_none() && service.stopping().is_set() {
            taking = false;
            behind.push_back(Owed::Answer(Err(ApiError::ShuttingDown.into())));
            continue;
        }
        if !taking && proposing.is_none() && first.is_none() && answered.is_empty() {
            return;
        }
        let room = behind.len() + answered.len() + usize::from(first.is_some()) < service.limits().in_flight_max;
        seedlog_runtime::select! {
            (owed, ends) = in_place(&mut proposing), if proposing.is_some() => {
                proposing.set(None);
                // Refused for good: nothing after it may go in.
                taking &= !ends;
                behind.push_back(owed);
            }
            request = requests.next(), if taking && proposing.is_none() && room => match request {
                Some(Ok(request)) => {
                    let in_answer = request.errors_in_answers;
                    match accept(request, service.limits()) {
                        Ok(batch) => proposing.set(Some(service.propose(batch, in_answer))),
                        Err(refused) => {
                            taking = in_answer;
                            behind.push_back(Owed::Answer(failure(refused, in_answer)));
                        }
                    }
                }
                Some(Err(status)) => {
                    taking = false;
                    behind.push_back(Owed::Answer(Err(status)));
                }
                None => taking = false,
            },
            answer = in_place(&mut first), if first.is_some() => {
                first.set(None);
                taking &= answer.is_ok();
                answered.push_back(answer);
            }
            permit = answers.reserve(), if !answered.is_empty() => {
                let (Ok(permit), Some(answer)) = (permit, answered.pop_front()) else { return };
                let last = answer.is_err();
                permit.send(answer);
                if last {
                    return;
                }
            }
            () = service.stopping().wait(), if taking && proposing.is_none() => {}
            () = answers.closed() => return,
        }
    }
}

/// An empty slot for what `make` makes: its type has no name.
fn none_from<T, F>(_make: impl FnOnce(T) -> F) -> Option<F> {
    None
}

/// Goes on with what is in the slot, which must not be empty, and leaves it there.
async fn in_place<F: Future>(slot: &mut Pin<&mut Option<F>>) -> F::Output {
    poll_fn(|context| match slot.as_mut().as_pin_mut() {
        Some(future) => future.poll(context),
        None => Poll::Pending,
    })
    .await
}

impl Service {
    /// Hands the records over; what comes back is owed an answer, and whether nothing after it is taken in.
    async fn propose(&self, batch: RecordBatch, in_answer: bool) -> (Owed, bool) {
        match self.node().propose(batch).await {
            Err(refused) => (Owed::Answer(failure(self.produce_error(refused), in_answer)), !in_answer),
            Ok(pending) => (Owed::Outcome { pending, in_answer }, false),
        }
    }

    async fn answer(&self, owed: Owed) -> Answer {
        match owed {
            Owed::Answer(answer) => answer,
            Owed::Outcome { pending, in_answer } => match pending.outcome().await {
                Ok(produced) => Ok(response(produced)),
                Err(failed) => failure(self.produce_error(failed), in_answer),
            },
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
