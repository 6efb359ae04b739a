//! A client of a whole cluster: it finds the servers, sends produces to the leader and reads to the others, and
//! tries again where that cannot write anything twice.

mod health;
mod pipeline;
mod producer;
mod resolver;
mod tail;
mod view;

pub use pipeline::Delivered;
pub use producer::{Delivery, Producer, ProducerOptions};
pub use tail::ClusterTail;

use crate::client::{Client, Fetch, Produced, Start};
use crate::conditions::Conditions;
use crate::error::{Error, Outcome};
use rand::RngExt as _;
use resolver::Resolver;
use seedlog_api::v1::{DescribeResponse, GetServersResponse, Record};
use seedlog_runtime::clock;
use seedlog_runtime::clock::Instant;
use seedlog_runtime::rpc::BadAddress;
use std::sync::Arc;
use std::time::Duration;

/// How a client of a cluster behaves.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How long a call may take, with all its tries. Zero: as many tries as there are addresses, and no more.
    pub call_max: Duration,
    /// How long a server may take to answer one try, before another server is tried. Longer than a server waits for a
    /// leader, by default 5 s: it then says that nothing was written.
    pub try_max: Duration,
    /// The servers are asked so often who is there, if nothing gives a reason to ask before.
    pub refresh_every: Duration,
    /// Records that a tail receives in one message, at most.
    pub tail_records_max: u32,
    /// A tail that receives nothing for so long asks another server whether it should have.
    pub quiet_max: Duration,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            call_max: Duration::from_secs(30),
            try_max: Duration::from_secs(6),
            refresh_every: Duration::from_secs(30),
            tail_records_max: 1024,
            quiet_max: Duration::from_secs(5),
        }
    }
}

/// A client of a cluster. Clones share its connections and what it knows.
///
/// Every server takes every call; which one is asked decides only how fast it is done.
#[derive(Debug, Clone)]
pub struct Cluster {
    resolver: Arc<Resolver>,
    options: ClusterOptions,
}

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    pub address: String,
    pub client: Client,
}

impl Cluster {
    /// A client of the cluster to which the servers at `seeds` (`host:port`; a name may stand for several) belong.
    /// One that answers is enough to find the rest. To be called where tasks can be spawned.
    ///
    /// # Errors
    /// If there is no seed, or one cannot be an address.
    pub fn connect<S: AsRef<str>>(seeds: impl IntoIterator<Item = S>) -> Result<Cluster, BadAddress> {
        Cluster::connect_with(seeds, ClusterOptions::default())
    }

    /// As [`Cluster::connect`].
    pub fn connect_with<S: AsRef<str>>(
        seeds: impl IntoIterator<Item = S>,
        options: ClusterOptions,
    ) -> Result<Cluster, BadAddress> {
        let seeds = seeds.into_iter().map(|seed| seed.as_ref().to_owned()).collect();
        Ok(Cluster { resolver: Arc::new(Resolver::start(seeds, options.clone())?), options })
    }

    /// Waits until it is known who leads.
    ///
    /// # Errors
    /// If nobody has said so within `patience`.
    pub async fn ready(&self, patience: Duration) -> Result<(), Error> {
        self.resolver.resolved(clock::now() + patience).await
    }

    /// Appends `records` as one atomic batch and returns when they are durable on a majority.
    ///
    /// # Errors
    /// [`Error::outcome`] says whether the records may have been written all the same. Without a producer (see
    /// [`Cluster::produce_if`]) a try of which nobody knows what became is the last.
    pub async fn produce(&self, records: Vec<Record>) -> Result<Produced, Error> {
        self.produce_if(records, &Conditions::default()).await
    }

    /// As [`Cluster::produce`], if the conditions hold where the records would go. With a producer's sequence it is
    /// sent until there is an answer: the log takes it once.
    ///
    /// # Errors
    /// As [`Cluster::produce`], and with the condition that does not hold.
    pub async fn produce_if(&self, records: Vec<Record>, conditions: &Conditions) -> Result<Produced, Error> {
        let repeatable = conditions.producer.is_some();
        let mut tries = Tries::new(self.options.call_max);
        loop {
            let picked = self.resolver.for_produce(tries.deadline).await.map_err(|error| tries.gave_up(error))?;
            let error = match tries.within(picked.client.produce_if(records.clone(), conditions)).await {
                Ok(produced) => {
                    self.resolver.answered(&picked.address);
                    return Ok(produced);
                }
                Err(error) => error,
            };
            let is_unknown = error.outcome() == Outcome::Unknown;
            if !error.is_passing() {
                return Err(tries.gave_up(error));
            }
            self.resolver.failed(&picked.address);
            tries.maybe_written |= is_unknown;
            if (is_unknown && !repeatable) || !tries.again(&self.resolver).await {
                return Err(tries.gave_up(error));
            }
        }
    }

    /// The record at `offset`.
    ///
    /// # Errors
    /// [`Error::out_of_range`] says which offsets there are, if this is none of them.
    pub async fn consume(&self, offset: u64) -> Result<Record, Error> {
        self.read(|client| async move { client.consume(offset).await }, Duration::ZERO).await
    }

    /// Some records from a start on, at least one.
    ///
    /// # Errors
    /// [`Error::out_of_range`] if there is none within `fetch.wait`.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Vec<Record>, Error> {
        self.read(|client| async move { client.fetch(fetch).await }, fetch.wait).await
    }

    /// The offset that the next record will get.
    ///
    /// # Errors
    /// If nobody can say.
    pub async fn next_offset(&self) -> Result<u64, Error> {
        // Past every end: the answer says where the end is, as the leader has it.
        match self.consume(u64::MAX).await {
            Ok(_) => Err(Error::BadAnswer { what: "a record where none can be" }),
            Err(error) => error.out_of_range().map(|valid| valid.end).ok_or(error),
        }
    }

    /// The records from `start` on, and those to come, whatever becomes of the servers: see [`ClusterTail`].
    pub fn tail(&self, start: Start) -> ClusterTail {
        ClusterTail::new(self.clone(), start)
    }

    /// Produces exactly once, many records at a time: see [`Producer`].
    pub fn producer(&self, options: ProducerOptions) -> Producer {
        Producer::start(self.clone(), options)
    }

    /// The cluster's servers, and the strangers that the server that answers has heard of.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn members(&self) -> Result<GetServersResponse, Error> {
        self.read(|client| async move { client.members().await }, Duration::ZERO).await
    }

    /// What there is and what holds, and in `producer` what is remembered of the producer with this id.
    ///
    /// # Errors
    /// If nobody can say.
    pub async fn describe_with_producer(&self, id: &str) -> Result<DescribeResponse, Error> {
        self.read(|client| async move { client.describe_with_producer(id).await }, Duration::ZERO).await
    }

    async fn read<T, F>(&self, call: impl Fn(Client) -> F, wait: Duration) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = Tries::new(self.options.call_max + wait);
        loop {
            let picked = self.resolver.for_consume(tries.deadline).await?;
            match tries.within(call(picked.client)).await {
                Ok(answer) => {
                    self.resolver.answered(&picked.address);
                    return Ok(answer);
                }
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => {
                    self.resolver.failed(&picked.address);
                    if !tries.again(&self.resolver).await {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Pauses between tries: the first is short, each further one twice as long, none longer than this.
pub(crate) const PAUSE_LEAST: Duration = Duration::from_millis(10);
const PAUSE_MOST: Duration = Duration::from_millis(500);

/// How often to try again, and until when.
#[derive(Debug)]
pub(crate) struct Tries {
    pub deadline: Instant,
    call_max: Duration,
    pause: Duration,
    count: usize,
    /// A try went out of which nobody knows what became.
    maybe_written: bool,
}

impl Tries {
    pub fn new(call_max: Duration) -> Tries {
        Tries { deadline: clock::now() + call_max, call_max, pause: PAUSE_LEAST, count: 0, maybe_written: false }
    }

    /// Waits a moment; false if there is no time left for another try.
    pub async fn again(&mut self, resolver: &Resolver) -> bool {
        self.count += 1;
        let pause = next_pause(&mut self.pause);
        let in_time =
            if self.call_max.is_zero() { self.count < resolver.count() } else { clock::now() + pause < self.deadline };
        if !in_time {
            return false;
        }
        clock::sleep(pause).await;
        true
    }

    /// One try, which takes no longer than the call may.
    pub async fn within<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if self.call_max.is_zero() {
            return call.await;
        }
        let left = self.deadline - clock::now();
        clock::timeout(left, call).await.unwrap_or(Err(Error::Deadline { after: self.call_max }))
    }

    /// What the call ends with: a refusal says nothing about the tries before it.
    fn gave_up(&self, error: Error) -> Error {
        if self.maybe_written && error.outcome() == Outcome::NotWritten {
            return Error::Unsettled { after: self.call_max, last: Box::new(error) };
        }
        error
    }
}

/// Between half of what is due and all of it, so that many clients do not come back at once.
pub(crate) fn next_pause(pause: &mut Duration) -> Duration {
    let due = *pause;
    *pause = (due * 2).min(PAUSE_MOST);
    seedlog_runtime::rng("client pause").random_range(due / 2..=due)
}
