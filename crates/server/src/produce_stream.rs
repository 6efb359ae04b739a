//! The fast road in: requests are taken in as they come and answered in their order.
//!
//! Each is proposed the moment it is taken in, so those of one stream share writes and syncs with each
//! other and with everybody else's; at most `in_flight_max` are taken in and not answered.
//!
//! **A request that fails.** A client that set `errors_in_answers` in it gets the failure as `error` of
//! that request's answer, and the stream goes on. For a client that did not (the book's, which does not
//! know the field) an answer with an `error` would read as success at offset 0, so the stream ends with
//! the status instead, after the answers to all requests before it. What came after it in the stream
//! was not answered, so its outcome is unknown to the client: it may be in the log.

use crate::produce::accept;
use crate::service::Service;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use seedlog_api::ApiError;
use seedlog_api::v1::{ProduceRequest, ProduceResponse};
use std::collections::VecDeque;
use std::future::{Future, ready};
use std::pin::{Pin, pin};
use tokio::sync::mpsc;
use tonic::Status;

type Answer = Result<ProduceResponse, Status>;
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Takes requests in until they end, the node stops, or one fails for good; then answers what is in
/// flight. Ends early if nobody listens to the answers any more.
///
/// This is a task of its own, not a stream that its transport polls: a client that does not read its
/// answers must not keep the requests it has proposed from being driven on, since they may hold a
/// place in the queue of everybody's.
pub(crate) async fn pump<S>(service: Service, requests: S, answers: mpsc::Sender<Answer>)
where
    S: Stream<Item = Result<ProduceRequest, Status>> + Send,
{
    let mut requests = pin!(requests);
    let mut in_flight: FuturesOrdered<Pending> = FuturesOrdered::new();
    let mut answered: VecDeque<Answer> = VecDeque::new();
    let mut taking = true;
    loop {
        if !taking && in_flight.is_empty() && answered.is_empty() {
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
            // Before the next is taken in, so that each is proposed in its turn.
            Some(answer) = in_flight.next(), if !in_flight.is_empty() => answered.push_back(answer),
            () = service.stopping().wait(), if taking => {
                taking = false;
                in_flight.push_back(ready(Err(ApiError::ShuttingDown.into())).boxed());
            }
            request = requests.next(), if taking && room => match request {
                Some(Ok(request)) => {
                    let (ends, pending) = propose(service.clone(), request);
                    taking = !ends;
                    in_flight.push_back(pending);
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

/// Whether the stream takes in nothing after this request, and its answer.
fn propose(service: Service, request: ProduceRequest) -> (bool, Pending) {
    let in_answer = request.errors_in_answers;
    match accept(request, service.limits()) {
        Err(refused) => (!in_answer, ready(failure(refused, in_answer)).boxed()),
        Ok(records) => {
            let answer = async move {
                match service.append(records).await {
                    Ok(response) => Ok(response),
                    Err(failed) => failure(failed, in_answer),
                }
            };
            (false, answer.boxed())
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
