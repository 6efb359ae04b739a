use crate::client::{Options, Produced, deliverable, produce_request, produced};
use crate::conditions::Conditions;
use crate::error::Error;
use seedlog_api::v1::{ProduceRequest, ProduceResponse, Record};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::wire;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Sends the requests of a produce stream.
#[derive(Debug)]
pub struct ProduceSender {
    requests: mpsc::Sender<ProduceRequest>,
    /// One entry for each request sent, in order: what [`ProduceResults`] owes an answer for.
    sent: mpsc::UnboundedSender<OwnedSemaphorePermit>,
    /// As many permits as requests may be in flight; closed when the stream has failed.
    window: Arc<Semaphore>,
    /// See [`Options::past_errors`].
    past_errors: bool,
    /// A request with a producer was sent: see [`ProduceSender::begun`].
    began: bool,
    in_flight_max: u32,
    /// Set once a request was answered with success.
    succeeded: Arc<AtomicBool>,
}

/// The results of a produce stream: one for each request sent, in the same order.
#[derive(Debug)]
pub struct ProduceResults {
    answers: Streaming<ProduceResponse>,
    sent: mpsc::UnboundedReceiver<OwnedSemaphorePermit>,
    window: Arc<Semaphore>,
    succeeded: Arc<AtomicBool>,
    answer_max: Duration,
    /// The request whose answer is awaited, and until when.
    awaited: Option<(OwnedSemaphorePermit, clock::Instant)>,
    /// What came while no request was known to await it.
    early: Option<Received>,
    /// Why no answer will come any more.
    failed: Option<Error>,
    /// The stream has ended while no answer was owed.
    ended_idle: Option<Error>,
}

type Received = Result<Option<ProduceResponse>, Status>;

/// The three ends of a stream to be opened: what sends, what goes out, and what waits for answers.
pub(crate) fn requests(options: &Options) -> (ProduceSender, ReceiverStream<ProduceRequest>, Unanswered) {
    let in_flight_max = u32::try_from(options.in_flight_max.max(1)).unwrap_or(u32::MAX);
    // The transport takes all that are there at once: with one at a time each would be a write to the socket of its own. Whoever
    // has a permit has a place here, too.
    let (requests, requested) = mpsc::channel(in_flight_max as usize);
    let (sent, sent_in_order) = mpsc::unbounded_channel();
    let window = Arc::new(Semaphore::new(in_flight_max as usize));
    let succeeded = Arc::new(AtomicBool::new(false));
    let unanswered = Unanswered {
        sent: sent_in_order,
        window: window.clone(),
        succeeded: succeeded.clone(),
        answer_max: options.answer_max,
    };
    let past_errors = options.past_errors;
    let sender = ProduceSender { requests, sent, window, past_errors, began: false, in_flight_max, succeeded };
    (sender, ReceiverStream::new(requested), unanswered)
}

pub(crate) struct Unanswered {
    sent: mpsc::UnboundedReceiver<OwnedSemaphorePermit>,
    window: Arc<Semaphore>,
    succeeded: Arc<AtomicBool>,
    answer_max: Duration,
}

impl Unanswered {
    pub fn answered_by(self, answers: Streaming<ProduceResponse>) -> ProduceResults {
        let Unanswered { sent, window, succeeded, answer_max } = self;
        ProduceResults {
            answers,
            sent,
            window,
            succeeded,
            answer_max,
            awaited: None,
            early: None,
            failed: None,
            ended_idle: None,
        }
    }
}

impl ProduceSender {
    /// Sends `records` as one atomic batch, as soon as few enough requests are in flight. What became
    /// of it, [`ProduceResults::next`] says.
    ///
    /// # Errors
    /// Only if it was not sent; then no result will come for it.
    pub async fn send(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.send_if(records, &Conditions::default()).await
    }

    /// As [`ProduceSender::send`]; the records are appended if the conditions hold where they would go.
    ///
    /// With a producer, the stream's first request goes alone: the next waits for its answer, and if that
    /// is a failure, the stream has ended. The log takes a producer that it does not know at any sequence:
    /// were the first request refused and the second one not, the first would be left out for good.
    ///
    /// # Errors
    /// As [`ProduceSender::send`].
    pub async fn send_if(&mut self, records: Vec<Record>, conditions: &Conditions) -> Result<(), Error> {
        conditions.check()?;
        if conditions.producer.is_some() {
            self.begun().await?;
        }
        let request = produce_request(records, conditions);
        let request = ProduceRequest { errors_in_answers: self.past_errors, ..request };
        let request = deliverable(request)?;
        let permit = self.window.clone().acquire_owned().await.map_err(|_| Error::StreamEnded)?;
        let slot = self.requests.reserve().await.map_err(|_| Error::StreamEnded)?;
        // Before the request goes out, so that an answer never comes before it is owed. Nobody takes the
        // results any more: then nobody misses this one.
        _ = self.sent.send(permit);
        slot.send(request);
        Ok(())
    }
}

impl ProduceSender {
    /// Returns at once for the first request of a producer, and for those behind it when it has succeeded.
    async fn begun(&mut self) -> Result<(), Error> {
        if !std::mem::replace(&mut self.began, true) || self.succeeded.load(Ordering::Acquire) {
            return Ok(());
        }
        // All of the window is free when nothing is unanswered.
        let answered = self.window.acquire_many(self.in_flight_max).await;
        let succeeded = answered.is_ok() && self.succeeded.load(Ordering::Acquire);
        if succeeded { Ok(()) } else { Err(Error::StreamEnded) }
    }
}

impl ProduceResults {
    /// The next request's result. `None` when the sender is dropped and all that it sent has its
    /// result; and, once, when the stream ends while no answer is owed: see
    /// [`ProduceResults::take_ended_idle`]. After the stream has failed, what is left has an unknown outcome
    /// ([`Error::outcome`]). May be dropped and called again: no result is lost.
    pub async fn next(&mut self) -> Option<Result<Produced, Error>> {
        if self.awaited.is_none() {
            let permit = self.owed().await?;
            self.awaited = Some((permit, clock::now() + self.answer_max));
        }
        let deadline = self.awaited.as_ref().map_or_else(clock::now, |(_, deadline)| *deadline);
        let result = self.answer(deadline).await;
        if result.is_ok() {
            // Before its place in the window is free.
            self.succeeded.store(true, Ordering::Release);
        }
        self.awaited = None;
        Some(result)
    }

    /// Why the stream ended while no answer was owed, if it did. Nothing is sent any more; whatever was
    /// sent at that very moment still has its result.
    pub fn take_ended_idle(&mut self) -> Option<Error> {
        self.ended_idle.take()
    }

    /// The next request that is owed an answer. Listens to the stream meanwhile: a sender that has
    /// nothing to send would never notice that nobody is there.
    async fn owed(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.failed.is_none() && self.early.is_none() {
            seedlog_runtime::select! {
                permit = self.sent.recv() => return permit,
                received = self.answers.message() => self.early = Some(received),
            }
            // It was sent while we looked: what came is about it.
            if let Ok(permit) = self.sent.try_recv() {
                return Some(permit);
            }
            let why = match self.early.take() {
                Some(Ok(Some(_))) => Error::BadAnswer { what: "an answer to no request" },
                Some(Err(status)) => Error::from(status),
                Some(Ok(None)) | None => Error::StreamBroken { why: "the server ended it".to_owned() },
            };
            self.window.close();
            self.failed = Some(Error::StreamBroken { why: why.to_string() });
            self.ended_idle = Some(why);
            return None;
        }
        self.sent.recv().await
    }

    async fn answer(&mut self, deadline: clock::Instant) -> Result<Produced, Error> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let received = match self.early.take() {
            Some(early) => Ok(early),
            None => clock::timeout(deadline - clock::now(), self.answers.message()).await,
        };
        let error = match received {
            Ok(Ok(Some(answer))) => return produced(wire(answer)?),
            Ok(Ok(None)) => Error::StreamBroken { why: "the server ended it".to_owned() },
            // The server's word comes in its turn, after the answers before it: it is about this request.
            Ok(Err(status)) => match Error::from(status) {
                error @ Error::Server(_) => error,
                error => Error::StreamBroken { why: error.to_string() },
            },
            Err(_) => Error::Deadline { after: self.answer_max },
        };
        self.window.close();
        // It is not about those after this one: they may have been in flight already.
        self.failed = Some(match &error {
            Error::Server(refused) => Error::StreamBroken { why: format!("a request before failed: {refused}") },
            error => error.clone(),
        });
        Err(error)
    }
}

impl Drop for ProduceResults {
    /// Whoever waits to send would wait for ever.
    fn drop(&mut self) {
        self.window.close();
    }
}
