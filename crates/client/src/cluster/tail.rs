//! Reading on, whatever becomes of the servers.

use super::{Cluster, Tries};
use crate::client::{Fetch, Start};
use crate::error::Error;
use crate::tail::Tail;
use seedlog_api::v1::Record;
use seedlog_runtime::buggify;
use seedlog_runtime::clock;
use seedlog_runtime::clock::Instant;
use std::time::Duration;

/// The records of a cluster's log in order, the ones to come included, each once: where one server's stream ends,
/// another one's goes on from the next offset.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let config = seedlog_agent::Config::new(dir.path().into(), ([127, 0, 0, 1], 0).into());
/// # let node = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
/// # let address = node.rpc_addr().to_string();
/// use seedlog_client::{Cluster, Record, Start};
///
/// let cluster = Cluster::connect([&address])?;
/// let mut tail = cluster.tail(Start::Earliest);
/// for value in ["one", "two"] {
///     cluster.produce(vec![Record { value: value.into(), ..Record::default() }]).await?;
///     assert_eq!(tail.next().await?.value, value);
/// }
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClusterTail {
    cluster: Cluster,
    /// Where to go on.
    start: Start,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    address: String,
    records: Tail,
    /// When it gave a record last, or was right to give none.
    heard: Instant,
}

impl ClusterTail {
    pub(super) fn new(cluster: Cluster, start: Start) -> ClusterTail {
        ClusterTail { cluster, start, stream: None }
    }

    /// The next record, as soon as there is one. May be dropped and called again: no record is lost.
    ///
    /// # Errors
    /// If no server could be read from for as long as a call may take, and if the log does not have the next offset
    /// ([`Error::out_of_range`]: it was trimmed, or was never that long). To be called again all the same: it goes on
    /// where it was, or where [`ClusterTail::seek`] says.
    pub async fn next(&mut self) -> Result<Record, Error> {
        let mut tries = Tries::new(self.cluster.options.call_max);
        loop {
            let error = match self.try_next(&mut tries).await {
                Ok(record) => {
                    self.start = Start::Offset(record.offset + 1);
                    if buggify!("tail_moves_on") {
                        self.stream = None;
                    }
                    return Ok(record);
                }
                Err(error) => error,
            };
            if let Some(stream) = self.stream.take()
                && error.is_passing()
            {
                self.cluster.resolver.failed(&stream.address);
            }
            if !error.is_passing() || !tries.again(&self.cluster.resolver).await {
                return Err(error);
            }
        }
    }

    /// The next record is that at `offset`.
    pub fn seek(&mut self, offset: u64) {
        self.start = Start::Offset(offset);
        self.stream = None;
    }

    /// The offset of the next record, if that is certain before it is there.
    pub fn offset(&self) -> Option<u64> {
        match self.start {
            Start::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    async fn try_next(&mut self, tries: &mut Tries) -> Result<Record, Error> {
        loop {
            let stream = self.opened(tries).await?;
            let quiet_max = self.cluster.options.quiet_max;
            let stream = self.stream.insert(stream);
            // Whoever calls may have less patience: then it goes on counting in the next call.
            let silence = stream.heard + quiet_max - clock::now();
            match clock::timeout(silence, stream.records.next()).await {
                Ok(Some(Ok(record))) => {
                    stream.heard = clock::now();
                    return self.in_turn(record);
                }
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) => return Err(Error::StreamBroken { why: "the server ended it".to_owned() }),
                Err(_) => {
                    Box::pin(self.seen_quiet(quiet_max)).await?;
                    self.stream.iter_mut().for_each(|stream| stream.heard = clock::now());
                }
            }
            // Nothing was wrong so far: whatever comes has all the time again.
            *tries = Tries::new(self.cluster.options.call_max);
        }
    }

    /// The stream that is there, or a new one.
    async fn opened(&mut self, tries: &Tries) -> Result<Stream, Error> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        if self.start == Start::Latest {
            // What is appended from now on, and not from the time on at which a later stream begins.
            self.start = Start::Offset(Box::pin(self.cluster.next_offset()).await?);
        }
        let picked = Box::pin(self.cluster.resolver.for_consume(tries.deadline)).await?;
        // In a box, as all that is rare here: what waits for the next record is moved about for each.
        match tries.within(Box::pin(picked.client.consume_stream(self.start))).await {
            Ok(records) => {
                self.cluster.resolver.answered(&picked.address);
                Ok(Stream { address: picked.address, records, heard: clock::now() })
            }
            Err(error) => {
                if error.is_passing() {
                    self.cluster.resolver.failed(&picked.address);
                }
                Err(error)
            }
        }
    }

    fn in_turn(&self, record: Record) -> Result<Record, Error> {
        match self.offset() {
            Some(offset) if record.offset != offset => Err(Error::BadAnswer { what: "a record out of turn" }),
            _ => Ok(record),
        }
    }

    /// Whether it is quiet because there is nothing, or because nothing comes through: another server knows.
    async fn seen_quiet(&mut self, quiet_max: Duration) -> Result<(), Error> {
        let fetch = Fetch { start: self.start, records_max: 1, bytes_max: 0, wait: Duration::ZERO };
        let error = match self.cluster.fetch(fetch).await {
            Ok(records) if records.is_empty() => return Ok(()),
            Ok(_) => return Err(Error::Deadline { after: quiet_max }),
            Err(error) => error,
        };
        match error.out_of_range() {
            // The end is where we wait.
            Some(valid) if self.offset().is_none_or(|offset| offset == valid.end) => Ok(()),
            // It came between the miss and the answer: the stream should have it soon, or another one has.
            Some(valid) if self.offset().is_some_and(|offset| valid.contains(&offset)) => {
                Err(Error::Deadline { after: quiet_max })
            }
            _ => Err(error),
        }
    }
}
