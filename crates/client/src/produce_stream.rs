use crate::client::{Options, Produced, deliverable, produce_request, produced};
use crate::conditions::Conditions;
use crate::error::Error;
use seedlog_api::v1::{ProduceRequest, ProduceResponse, Record};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::wire;
use std::sync::Arc;
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
}

/// The results of a produce stream: one for each request sent, in the same order.
#[derive(Debug)]
pub struct ProduceResults {
    answers: Streaming<ProduceResponse>,
    sent: mpsc::UnboundedReceiver<OwnedSemaphorePermit>,
    window: Arc<Semaphore>,
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
    let (requests, requested) = mpsc::channel(1);
    let (sent, sent_in_order) = mpsc::unbounded_channel();
    let window = Arc::new(Semaphore::new(options.in_flight_max.max(1)));
    let unanswered = Unanswered { sent: sent_in_order, window: window.clone(), answer_max: options.answer_max };
    (
        ProduceSender { requests, sent, window, past_errors: options.past_errors },
        ReceiverStream::new(requested),
        unanswered,
    )
}

pub(crate) struct Unanswered {
    sent: mpsc::UnboundedReceiver<OwnedSemaphorePermit>,
    window: Arc<Semaphore>,
    answer_max: Duration,
}

impl Unanswered {
    pub fn answered_by(self, answers: Streaming<ProduceResponse>) -> ProduceResults {
        let Unanswered { sent, window, answer_max } = self;
        ProduceResults { answers, sent, window, answer_max, awaited: None, early: None, failed: None, ended_idle: None }
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
    /// # Errors
    /// As [`ProduceSender::send`].
    pub async fn send_if(&mut self, records: Vec<Record>, conditions: &Conditions) -> Result<(), Error> {
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
