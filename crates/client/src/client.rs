use crate::conditions::Conditions;
use crate::error::Error;
use crate::produce_stream::{self, ProduceResults, ProduceSender};
use crate::tail::Tail;
use prost::Message;
use seedlog_api::LEADER;
use seedlog_api::v1::admin_client::AdminClient;
use seedlog_api::v1::log_client::LogClient;
use seedlog_api::v1::{
    self, ConsumeRequest, GetServersRequest, GetServersResponse, ProduceRequest, ProduceResponse, Record, Server,
};
use seedlog_runtime::clock;
use seedlog_runtime::rpc::{BadAddress, MESSAGE_BYTES_MAX, channel, wire};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub(crate) type Admin = AdminClient<Channel>;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an answer may take, from the call on (in a produce stream: from the answer before).
    pub answer_max: Duration,
    /// Requests of a produce stream sent and not answered yet; what the server does not take in yet is in memory.
    pub in_flight_max: usize,
    /// A produce stream goes on after a request that failed, and its result says so. Otherwise the stream
    /// ends there and nothing after it is taken in: what is written is a prefix of what was sent.
    pub past_errors: bool,
    /// Records that a tail receives in one message, at most.
    pub tail_records_max: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { answer_max: Duration::from_secs(10), in_flight_max: 128, past_errors: true, tail_records_max: 1024 }
    }
}

/// A client of one server. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Client {
    log: LogClient<Channel>,
    pub(crate) admin: Admin,
    options: Options,
    /// Told when a server says in passing that another one leads.
    hints: Option<Arc<Notify>>,
}

/// Where a produce landed: offsets `first_offset..first_offset + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Produced {
    pub first_offset: u64,
    pub count: u32,
    /// They were there before the call: it had been sent before, with the same producer and sequence.
    pub repeated: bool,
}

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Offset(u64),
    Earliest,
    /// What is appended from now on.
    Latest,
    /// The first record appended at or after this, milliseconds since 1970.
    Time(i64),
}

/// One bounded read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    pub start: Start,
    pub records_max: u32,
    /// 0: as the server likes.
    pub bytes_max: u32,
    /// How long to wait for a record if there is none.
    pub wait: Duration,
}

impl Start {
    pub(crate) fn request(self) -> ConsumeRequest {
        let mut request = ConsumeRequest::default();
        let start = match self {
            Start::Offset(offset) => {
                request.offset = offset;
                v1::Start::Offset
            }
            Start::Earliest => v1::Start::Earliest,
            Start::Latest => v1::Start::Latest,
            Start::Time(ms) => {
                request.start_time_ms = ms;
                v1::Start::Time
            }
        };
        request.start = start as i32;
        request
    }
}

impl Client {
    /// A client of the server at `address` (`host:port`). Connects at the first call, and again
    /// whenever the connection is lost.
    ///
    /// # Errors
    /// If `address` cannot be an address.
    pub fn connect(address: &str) -> Result<Client, BadAddress> {
        Client::connect_with(address, Options::default())
    }

    /// As [`Client::connect`].
    pub fn connect_with(address: &str, options: Options) -> Result<Client, BadAddress> {
        let channel = channel(address)?;
        let admin = AdminClient::new(channel.clone());
        let log = LogClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Client { log, admin, options, hints: None })
    }

    /// Tells `hints` of every produce that was not given to the leader itself.
    pub(crate) fn with_hints(self, hints: Arc<Notify>) -> Client {
        Client { hints: Some(hints), ..self }
    }

    async fn hinted<A>(&self, call: impl Future<Output = Result<Response<A>, Status>>) -> Result<Response<A>, Status> {
        let answer = call.await;
        let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
        if let Some(hints) = self.hints.as_ref().filter(|_| metadata.contains_key(LEADER)) {
            hints.notify_one();
        }
        answer
    }

    /// Appends `records` as one atomic batch and returns when they are durable on a majority.
    ///
    /// # Errors
    /// [`Error::outcome`] says whether the records may have been written all the same.
    pub async fn produce(&self, records: Vec<Record>) -> Result<Produced, Error> {
        self.produce_if(records, &Conditions::default()).await
    }

    /// As [`Client::produce`], if the conditions hold where the records would go.
    ///
    /// # Errors
    /// As [`Client::produce`], and with the condition that does not hold: [`ApiError::ExpectedOffset`],
    /// [`ApiError::Fenced`], [`ApiError::SequenceTooOld`], [`ApiError::SequenceGap`].
    ///
    /// [`ApiError::ExpectedOffset`]: crate::ApiError::ExpectedOffset
    /// [`ApiError::Fenced`]: crate::ApiError::Fenced
    /// [`ApiError::SequenceTooOld`]: crate::ApiError::SequenceTooOld
    /// [`ApiError::SequenceGap`]: crate::ApiError::SequenceGap
    pub async fn produce_if(&self, records: Vec<Record>, conditions: &Conditions) -> Result<Produced, Error> {
        conditions.check()?;
        let request = deliverable(produce_request(records, conditions))?;
        let mut log = self.log.clone();
        let deadline = self.options.answer_max;
        let answer = within(deadline, self.hinted(log.produce(timed(request, deadline)))).await?;
        produced(wire(answer)?)
    }

    /// The record at `offset`.
    pub async fn consume(&self, offset: u64) -> Result<Record, Error> {
        let request = wire(Start::Offset(offset).request())?;
        let mut log = self.log.clone();
        let deadline = self.options.answer_max;
        let answer = within(deadline, log.consume(timed(request, deadline))).await?;
        wire(answer)?.record.ok_or(Error::BadAnswer { what: "a consume without its record" })
    }

    /// Some records from a start on, at least one.
    ///
    /// # Errors
    /// [`Error::out_of_range`] if there is none within `fetch.wait`.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Vec<Record>, Error> {
        let request = wire(ConsumeRequest {
            max_records: fetch.records_max.max(1),
            max_bytes: fetch.bytes_max,
            wait_ms: u32::try_from(fetch.wait.as_millis()).unwrap_or(u32::MAX),
            ..fetch.start.request()
        })?;
        let mut log = self.log.clone();
        let deadline = self.options.answer_max + fetch.wait;
        let answer = within(deadline, log.consume(timed(request, deadline))).await?;
        Ok(wire(answer)?.records)
    }

    /// The records from `start` on, and those to come, for as long as the connection holds.
    pub async fn consume_stream(&self, start: Start) -> Result<Tail, Error> {
        let request = wire(ConsumeRequest { max_records: self.options.tail_records_max.max(1), ..start.request() })?;
        let mut log = self.log.clone();
        // No deadline goes to the server: it would end the stream, not just the wait for its start.
        let answers = within(self.options.answer_max, log.consume_stream(request)).await?;
        Ok(Tail::new(answers))
    }

    /// Produces one after the other without waiting for the answers: the fast road. Drop the sender
    /// when all is sent; the results then end after the last one.
    pub async fn produce_stream(&self) -> Result<(ProduceSender, ProduceResults), Error> {
        let mut log = self.log.clone();
        let (sender, requests, results) = produce_stream::requests(&self.options);
        let answers = within(self.options.answer_max, self.hinted(log.produce_stream(requests))).await?;
        Ok((sender, results.answered_by(answers)))
    }

    /// The cluster's servers, as the server knows them, itself included.
    pub async fn servers(&self) -> Result<Vec<Server>, Error> {
        Ok(self.members().await?.servers)
    }

    /// The cluster's servers, and the strangers that the server has heard of.
    pub async fn members(&self) -> Result<GetServersResponse, Error> {
        let mut log = self.log.clone();
        let request = wire(GetServersRequest {})?;
        let deadline = self.options.answer_max;
        let answer = within(deadline, log.get_servers(timed(request, deadline))).await?;
        Ok(wire(answer)?)
    }
}

impl Client {
    /// One administrator's call, within the client's deadline.
    pub(crate) async fn administer<Q: Message + Default, A: Message + Default, F>(
        &self,
        request: Q,
        call: impl FnOnce(Admin, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = self.options.answer_max;
        let answer = within(deadline, call(self.admin.clone(), timed(wire(request)?, deadline))).await?;
        Ok(wire(answer)?)
    }
}

/// The server is told the deadline, too: it need not finish what nobody waits for.
fn timed<Q>(request: Q, deadline: Duration) -> Request<Q> {
    let mut request = Request::new(request);
    request.set_timeout(deadline);
    request
}

async fn within<A>(deadline: Duration, call: impl Future<Output = Result<Response<A>, Status>>) -> Result<A, Error> {
    let answer = clock::timeout(deadline, call).await.map_err(|elapsed| Error::Deadline { after: elapsed.after })?;
    Ok(answer?.into_inner())
}

pub(crate) fn produce_request(mut records: Vec<Record>, conditions: &Conditions) -> ProduceRequest {
    let request = conditions.request();
    match records.len() {
        1 => ProduceRequest { record: records.pop(), ..request },
        _ => ProduceRequest { records, ..request },
    }
}

/// The request as the server will see it, unless it is too large to be sent.
pub(crate) fn deliverable(request: ProduceRequest) -> Result<ProduceRequest, Error> {
    let bytes = request.encoded_len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(Error::RequestTooLarge { bytes, max: MESSAGE_BYTES_MAX });
    }
    Ok(wire(request)?)
}

pub(crate) fn produced(answer: ProduceResponse) -> Result<Produced, Error> {
    match answer.error {
        Some(error) => Err(error.into()),
        // A server as old as the book's does not count.
        None => Ok(Produced { first_offset: answer.offset, count: answer.count.max(1), repeated: answer.repeated }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every caller that spawns tasks relies on.
    #[test]
    fn every_call_can_move_between_threads() {
        fn movable<T: Send>(_: impl FnOnce(&'static Client) -> T) {}
        movable(|client| client.produce(vec![]));
        movable(|client| client.consume(0));
        movable(|client| {
            client.fetch(Fetch { start: Start::Latest, records_max: 1, bytes_max: 0, wait: Duration::ZERO })
        });
        movable(|client| client.consume_stream(Start::Latest));
        movable(|client| client.produce_stream());
        movable(|client| client.servers());
        movable(|client| client.trim(0));
        movable(|client| client.remove_server(""));
        movable(|client| client.replace_server("", ""));
        movable(|client| client.transfer_leader(None));
    }
}
