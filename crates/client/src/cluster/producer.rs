//! A producer of a whole cluster: one stream to the leader, and another one when that ends, until every record is in
//! the log once.

use super::pipeline::{Limits, Pipeline, Request, Settled};
use super::{Cluster, PAUSE_LEAST, next_pause};
use crate::conditions::{Conditions, IN_FLIGHT_MAX, ProducerSequence, check_producer_id};
use crate::error::Error;
use crate::produce_stream::{ProduceResults, ProduceSender};
use prost::Message as _;
use rand::RngExt as _;
use seedlog_api::v1::Record;
use seedlog_runtime::clock;
use seedlog_runtime::clock::Instant;
use seedlog_runtime::rpc::MESSAGE_BYTES_MAX;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};

/// What a queued record takes besides its bytes, about.
const ENTRY_BYTES: usize = 128;
/// What a request has besides its records, at most.
const REQUEST_BYTES: usize = 1024;
/// Records in one batch, and their bytes, at most: a batch is an entry of the log, and one message.
const BATCH_RECORDS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 256 << 10;

/// How a producer behaves.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// 1 to 128 bytes; nobody else's, nor that of an earlier producer, unless each of their batches has one record: the
    /// log knows a repeat by its batch, and batches are cut as the records come. None: a random one.
    pub id: Option<String>,
    /// Of the first record; any will do.
    pub first_sequence: u64,
    /// What is not settled yet takes at most so many bytes of memory, about; then [`Producer::send`] waits.
    pub room_bytes_max: usize,
    /// Records in one batch, at most; a batch is atomic.
    pub batch_records_max: usize,
    /// For how long a record is tried; no try begins after that. Without `past_failures`: for how long a failure is
    /// tried again while nothing is acknowledged.
    pub delivery_max: Duration,
    /// A record that fails leaves those behind it alone. Otherwise it is the end: the log then has some first ones of
    /// all that was given, and of the rest nothing, but for those whose outcome is unknown.
    pub past_failures: bool,
    /// See [`Conditions::fencing_token`].
    pub fencing_token: Option<u64>,
    /// Compare-and-append: the first record has to get this offset, and each other one that after the one before it.
    /// Batches go one by one then, and there is nothing past a failure.
    pub expected_offset: Option<u64>,
    /// The first record may leave out sequences behind what the log has of this producer.
    pub first_after_gap: bool,
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        ProducerOptions {
            id: None,
            first_sequence: 0,
            room_bytes_max: 32 << 20,
            batch_records_max: BATCH_RECORDS_MAX,
            delivery_max: Duration::from_secs(120),
            past_failures: true,
            fencing_token: None,
            expected_offset: None,
            first_after_gap: false,
        }
    }
}

/// Puts records into the log of a cluster in the order in which they are given, each once, many at a time.
///
/// What is given while others are on their way gathers and goes as one batch; nothing waits for more to come. When a
/// stream breaks off, all that was not answered is sent again, with the sequences that it had. Only a record that is
/// refused for itself, or not settled in time, is left out; those behind it are not, unless it is asked for
/// ([`ProducerOptions::past_failures`]).
///
/// Dropped, it still sends what it was given.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let config = seedlog_agent::Config::new(dir.path().into(), ([127, 0, 0, 1], 0).into());
/// # let node = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
/// # let address = node.rpc_addr().to_string();
/// use seedlog_client::{Cluster, ProducerOptions, Record};
///
/// let producer = Cluster::connect([&address])?.producer(ProducerOptions::default());
/// let mut on_their_way = Vec::new();
/// for number in 0..1000 {
///     let record = Record { value: number.to_string().into(), ..Record::default() };
///     // Waits for room, not for the log.
///     on_their_way.push(producer.send(record).await?);
/// }
/// for (offset, delivery) in (0..).zip(on_their_way) {
///     assert_eq!(delivery.await?.offset, offset);
/// }
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
}

/// What becomes of a record: to be awaited, or dropped by whom it does not concern.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Settled>);

#[derive(Debug)]
struct Shared {
    pipeline: Mutex<Pipeline>,
    /// There is more to send, or nothing will come any more.
    work: Notify,
    closed: AtomicBool,
    /// It takes nothing any more.
    over: Notify,
    id: String,
    options: ProducerOptions,
}

impl Producer {
    pub(super) fn start(cluster: Cluster, options: ProducerOptions) -> Producer {
        let one_by_one = options.expected_offset.is_some();
        let limits = Limits {
            batch_records_max: options.batch_records_max.clamp(1, BATCH_RECORDS_MAX),
            batch_bytes_max: BATCH_BYTES_MAX,
            in_flight_max: if one_by_one { 1 } else { IN_FLIGHT_MAX },
            delivery_max: options.delivery_max,
            past_failures: options.past_failures && !one_by_one,
        };
        let id = options.id.clone().unwrap_or_else(|| {
            let random: u128 = seedlog_runtime::rng("producer id").random();
            format!("{random:032x}")
        });
        let shared = Arc::new(Shared {
            pipeline: Mutex::new(Pipeline::new(limits, options.first_sequence, options.first_after_gap, clock::now())),
            work: Notify::new(),
            closed: false.into(),
            over: Notify::new(),
            id,
            options,
        });
        if let Err(error) = check_producer_id(&shared.id) {
            shared.end(&error);
        }
        drop(seedlog_runtime::spawn(run(cluster, shared.clone())));
        let room = shared.options.room_bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        Producer { shared, room: Arc::new(Semaphore::new(room)) }
    }

    /// Takes a record in as soon as there is room; several that wait get their turn in the order of their calls.
    ///
    /// # Errors
    /// If no message can hold the record; or if this producer takes none any more, or never did: its id cannot be one,
    /// another one has it, or the log is fenced against it.
    pub async fn send(&self, record: Record) -> Result<Delivery, Error> {
        let bytes = record.encoded_len() + ENTRY_BYTES;
        let max = MESSAGE_BYTES_MAX - REQUEST_BYTES;
        if bytes > max {
            return Err(Error::RequestTooLarge { bytes, max });
        }
        let ProducerOptions { room_bytes_max, delivery_max, .. } = self.shared.options;
        let room = u32::try_from(bytes.min(room_bytes_max).max(1)).unwrap_or(u32::MAX);
        // Nobody closes it.
        let room = self.room.clone().acquire_many_owned(room).await.map_err(|_| Error::StreamEnded)?;
        let deadline = clock::now() + delivery_max;
        let delivery = self.shared.pipeline().push(record, bytes, deadline, room)?;
        self.shared.work.notify_one();
        Ok(Delivery(delivery))
    }

    /// Returns when it takes nothing any more, with the reason. For one caller at a time.
    pub async fn ended(&self) -> Error {
        loop {
            if let Some(why) = self.shared.pipeline().ended().cloned() {
                return why;
            }
            self.shared.over.notified().await;
        }
    }

    /// Under which the log knows it.
    pub fn id(&self) -> &str {
        &self.shared.id
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.work.notify_one();
    }
}

impl Future for Delivery {
    type Output = Settled;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Settled> {
        Pin::new(&mut self.0).poll(cx).map(|settled| {
            settled.unwrap_or_else(|_| Err(Error::StreamBroken { why: "the producer was ended by force".to_owned() }))
        })
    }
}

impl Shared {
    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do; false if there never will be.
    async fn has_work(&self) -> bool {
        loop {
            if !self.pipeline().is_empty() {
                return true;
            }
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            self.work.notified().await;
        }
    }

    fn conditions(&self, request: &Request) -> Conditions {
        let Request { sequence, gap_allowed, .. } = *request;
        let ProducerOptions { first_sequence, expected_offset, fencing_token, .. } = self.options;
        let producer = Some(ProducerSequence { id: self.id.clone(), sequence, gap_allowed });
        let expected_offset = expected_offset.map(|first| first.saturating_add(sequence - first_sequence));
        Conditions { producer, expected_offset, fencing_token }
    }

    fn broken(&self, error: &Error, once_more: bool) {
        self.pipeline().broken(error, clock::now(), once_more);
        self.over.notify_one();
    }

    fn end(&self, why: &Error) {
        self.pipeline().end(why);
        self.over.notify_one();
    }
}

/// Why a stream is left.
enum Left {
    /// There is nothing to send, or the leader is elsewhere; nothing is on its way.
    Idle,
    Broken(Error),
}

/// However the task ends, nobody waits for it.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end(&Error::StreamEnded);
    }
}

async fn run(cluster: Cluster, shared: Arc<Shared>) {
    let ends = Ends(shared);
    let shared = &ends.0;
    let mut pause = PAUSE_LEAST;
    // Since something was acknowledged.
    let mut failures = 0;
    let mut last = Error::NoServer { why: "none was asked in time".to_owned() };
    while shared.has_work().await {
        shared.pipeline().expire(clock::now(), &last);
        let Some(deadline) = shared.pipeline().next_deadline() else { continue };
        let mut acked = false;
        let left = match opened(&cluster, deadline).await {
            Ok((address, sender, results)) => {
                let left = stream(&cluster, shared, &address, (sender, results), &last, &mut acked).await;
                match &left {
                    Left::Broken(error) if error.is_passing() => cluster.resolver.failed(&address),
                    _ => cluster.resolver.answered(&address),
                }
                left
            }
            Err(error) => Left::Broken(error),
        };
        if acked {
            failures = 0;
        }
        if let Left::Broken(error) = left {
            failures += 1;
            shared.broken(&error, failures < cluster.resolver.count());
            last = error;
        }
        if acked {
            pause = PAUSE_LEAST;
        } else {
            clock::sleep(next_pause(&mut pause)).await;
        }
    }
}

async fn opened(cluster: &Cluster, deadline: Instant) -> Result<(String, ProduceSender, ProduceResults), Error> {
    let picked = cluster.resolver.for_produce(deadline).await?;
    match picked.client.produce_stream().await {
        Ok((sender, results)) => Ok((picked.address, sender, results)),
        Err(error) => {
            cluster.resolver.failed(&picked.address);
            Err(error)
        }
    }
}

/// Sends and takes answers over one stream, for as long as it is good. `last` is what is said of those that are given
/// up meanwhile.
async fn stream(
    cluster: &Cluster,
    shared: &Shared,
    address: &str,
    (mut sender, mut results): (ProduceSender, ProduceResults),
    last: &Error,
    acked: &mut bool,
) -> Left {
    let is_best = || cluster.resolver.best_for_produce().is_none_or(|best| best == address);
    let sending = async {
        loop {
            let best = is_best();
            let next = {
                let mut pipeline = shared.pipeline();
                if !best && pipeline.is_idle() {
                    return Left::Idle;
                }
                pipeline.next(!best)
            };
            let Some(request) = next else {
                if shared.closed.load(Ordering::Acquire) && shared.pipeline().is_empty() {
                    return Left::Idle;
                }
                shared.work.notified().await;
                continue;
            };
            let conditions = shared.conditions(&request);
            match sender.send_if(request.records, &conditions).await {
                // Nothing was waited for since it went: its answer cannot have been taken before this.
                Ok(()) => shared.pipeline().went_out(),
                // What became of those before it says why.
                Err(Error::StreamEnded) => std::future::pending().await,
                Err(error) => return Left::Broken(error),
            }
        }
    };
    let answering = async {
        loop {
            match results.next().await {
                Some(Ok(produced)) => {
                    if let Err(error) = shared.pipeline().acked(produced, clock::now()) {
                        return Left::Broken(error);
                    }
                    *acked = true;
                    // There is a place in the window, and perhaps a reason to go elsewhere.
                    shared.work.notify_one();
                }
                Some(Err(error)) => return Left::Broken(error),
                None => return Left::Broken(results.take_ended_idle().unwrap_or(Error::StreamEnded)),
            }
        }
    };
    // What went out has its answer in time, or the stream ends; what waits behind it may wait for too long.
    let expiring = async {
        if !shared.pipeline().expires() {
            std::future::pending::<()>().await;
        }
        loop {
            let deadline = shared.pipeline().next_deadline();
            match deadline {
                Some(deadline) => clock::sleep_until(deadline).await,
                // Whatever comes has all its time.
                None => clock::sleep(shared.options.delivery_max).await,
            }
            shared.pipeline().expire(clock::now(), last);
            // It may have been the last one that was waited for.
            shared.work.notify_one();
        }
    };
    seedlog_runtime::select! {
        left = sending => left,
        left = answering => left,
        never = expiring => never,
    }
}
