//! A log in memory. What it does with a produced record, the record's value says.

use futures_util::stream::{self, BoxStream, StreamExt};
use seedlog_api::ApiError;
use seedlog_api::v1::log_server::{Log, LogServer};
use seedlog_api::v1::{
    ConsumeRequest, ConsumeResponse, GetServersRequest, GetServersResponse, ProduceRequest, ProduceResponse, Record,
    Server, Start,
};
use seedlog_client::{Client, Options};
use seedlog_runtime::rpc::{Listener, MESSAGE_BYTES_MAX, Services, wire, wire_stream};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Is written, and never answered.
pub const MUTE: &str = "mute";
/// Is refused: there is no leader.
pub const LEADERLESS: &str = "leaderless";
/// Is refused, with all that is in its batch.
pub const LARGE: &str = "large";
/// In a stream: ends it, with an error and without.
pub const FAIL_STREAM: &str = "fail stream";
pub const END_STREAM: &str = "end stream";
/// In a stream: is answered, and the stream ends after it.
pub const LAST: &str = "last";

#[derive(Clone, Default)]
pub struct MemoryLog {
    pub records: Arc<Mutex<Vec<Record>>>,
    /// What it says of the cluster; nothing: that it is alone.
    pub servers: Arc<Mutex<Vec<Server>>>,
    pub seen: Arc<Seen>,
    /// Where the batches of producers are, by id and sequence.
    pub batches: Arc<Mutex<BTreeMap<(String, u64), ProduceResponse>>>,
}

/// What it was asked, and how it is.
#[derive(Default)]
pub struct Seen {
    pub produced: AtomicU32,
    pub read: AtomicU32,
    /// Who is there.
    pub asked: AtomicU32,
    /// Produce streams.
    pub streams: AtomicU32,
    /// It refuses everything, as if it were not there.
    pub down: AtomicBool,
    /// It writes, and answers no produce.
    pub silent: AtomicBool,
    /// Its streams give nothing.
    pub stalled: AtomicBool,
}

impl MemoryLog {
    pub fn values(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
    }

    #[cfg(madsim)]
    pub async fn serve(&self, address: &str) -> std::io::Result<()> {
        let listener = Listener::bind(address).await?;
        listener.serve(self.services(), pending()).await
    }

    fn is_there(&self) -> Result<(), Status> {
        if self.seen.down.load(Ordering::Relaxed) { Err(Status::unavailable("it is down")) } else { Ok(()) }
    }

    pub fn services(&self) -> Services {
        Services::new().add(LogServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Serves on this machine, to a client that soon loses patience.
    pub async fn with_client() -> (MemoryLog, Client) {
        MemoryLog::with_client_past_errors(true).await
    }

    pub async fn with_client_past_errors(past_errors: bool) -> (MemoryLog, Client) {
        let log = MemoryLog::default();
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().to_string();
        seedlog_runtime::spawn(listener.serve(log.services(), pending()));
        let options =
            Options { answer_max: Duration::from_millis(500), in_flight_max: 4, past_errors, tail_records_max: 3 };
        (log, Client::connect_with(&address, options).unwrap())
    }

    async fn append(&self, request: ProduceRequest) -> Result<ProduceResponse, ApiError> {
        let records: Vec<_> = request.record.into_iter().chain(request.records).collect();
        let first = records.first().ok_or(ApiError::EmptyRequest)?.value.clone();
        if let Some(index) = records.iter().position(|record| record.value == LARGE) {
            return Err(ApiError::RecordTooLarge { index, bytes: 2, max: 1 });
        }
        if first == LEADERLESS {
            return Err(ApiError::NoLeader);
        }
        let batch = (request.producer_id, request.sequence);
        let known = self.batches.lock().unwrap().get(&batch).cloned();
        let next = self.records.lock().unwrap().len() as u64;
        if let Some(expected) = request.expected_offset.filter(|expected| *expected != next && known.is_none()) {
            return Err(ApiError::ExpectedOffset { expected, next });
        }
        if self.seen.silent.load(Ordering::Relaxed) && known.is_some() {
            return pending().await;
        }
        if let Some(known) = known {
            return Ok(ProduceResponse { repeated: true, ..known });
        }
        let answer = {
            let mut log = self.records.lock().unwrap();
            let (offset, count) = (log.len() as u64, records.len() as u32);
            log.extend(records.into_iter().zip(offset..).map(|(record, offset)| Record { offset, ..record }));
            ProduceResponse { offset, count, ..Default::default() }
        };
        if !batch.0.is_empty() {
            self.batches.lock().unwrap().insert(batch, answer.clone());
        }
        if first == MUTE || self.seen.silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        Ok(answer)
    }

    fn start(&self, request: &ConsumeRequest) -> usize {
        match request.start() {
            Start::Offset => request.offset as usize,
            Start::Earliest => 0,
            Start::Latest => self.records.lock().unwrap().len(),
            Start::Time => request.start_time_ms as usize,
        }
    }

    fn read(&self, from: usize, request: &ConsumeRequest) -> Result<ConsumeResponse, ApiError> {
        let log = self.records.lock().unwrap();
        let next = log.len() as u64;
        let found = log.get(from..).unwrap_or_default();
        let record = found.first().ok_or(ApiError::OffsetOutOfRange { asked: from as u64, first: 0, next })?;
        if request.max_records > 0 {
            let records = found.iter().take(request.max_records as usize).cloned().collect();
            return Ok(ConsumeResponse { records, ..Default::default() });
        }
        Ok(ConsumeResponse { record: Some(record.clone()), ..Default::default() })
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn produce(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        self.seen.produced.fetch_add(1, Ordering::Relaxed);
        self.is_there()?;
        wire(self.append(wire(request.into_inner())?).await?).map(Response::new)
    }

    async fn consume(&self, request: Request<ConsumeRequest>) -> Result<Response<ConsumeResponse>, Status> {
        self.seen.read.fetch_add(1, Ordering::Relaxed);
        self.is_there()?;
        let request = wire(request.into_inner())?;
        wire(self.read(self.start(&request), &request)?).map(Response::new)
    }

    type ConsumeStreamStream = BoxStream<'static, Result<ConsumeResponse, Status>>;

    /// What there is; then nothing more comes.
    async fn consume_stream(
        &self,
        request: Request<ConsumeRequest>,
    ) -> Result<Response<Self::ConsumeStreamStream>, Status> {
        self.is_there()?;
        let request = wire(request.into_inner())?;
        if self.seen.stalled.load(Ordering::Relaxed) {
            return Ok(Response::new(stream::pending().boxed()));
        }
        let log = self.clone();
        let answers = stream::unfold(self.start(&request), move |from| {
            let answer = log.read(from, &request);
            async move {
                match answer {
                    Ok(answer) => {
                        let next = from + answer.records.len();
                        Some((wire(answer), next))
                    }
                    Err(_) => pending().await,
                }
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    type ProduceStreamStream = BoxStream<'static, Result<ProduceResponse, Status>>;

    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        self.is_there()?;
        self.seen.streams.fetch_add(1, Ordering::Relaxed);
        let requests = wire_stream(request.into_inner()).boxed();
        let answers = stream::unfold((self.clone(), requests, false), |(log, mut requests, ended)| async move {
            if ended {
                return None;
            }
            let request = requests.next().await?.ok()?;
            if log.is_there().is_err() {
                return None;
            }
            let value = request.record.as_ref().map(|record| record.value.clone()).unwrap_or_default();
            let in_answer = request.errors_in_answers;
            let answer = match log.append(request).await {
                Ok(answer) if answer.repeated => wire(answer),
                _ if value == END_STREAM => return None,
                _ if value == FAIL_STREAM => Err(Status::unavailable("the proxy has gone")),
                Ok(answer) => wire(answer),
                Err(error) if in_answer => {
                    wire(ProduceResponse { error: Some(error.to_stream_error()), ..Default::default() })
                }
                Err(error) => Err(error.into()),
            };
            Some((answer, (log, requests, value == LAST)))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn get_servers(&self, _: Request<GetServersRequest>) -> Result<Response<GetServersResponse>, Status> {
        self.seen.asked.fetch_add(1, Ordering::Relaxed);
        self.is_there()?;
        let mut servers = self.servers.lock().unwrap().clone();
        if servers.is_empty() {
            servers.push(Server { id: "1".to_owned(), is_leader: true, ..Default::default() });
        }
        wire(GetServersResponse { servers, strangers: Vec::new() }).map(Response::new)
    }
}

pub fn record(value: &str) -> Record {
    Record { value: value.to_owned().into(), ..Default::default() }
}

pub fn records(values: &[&str]) -> Vec<Record> {
    values.iter().map(|value| record(value)).collect()
}
