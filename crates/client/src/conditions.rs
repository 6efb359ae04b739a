use crate::error::Error;
use seedlog_api::v1::ProduceRequest;

/// On what conditions records are appended. None by default.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let config = seedlog_agent::Config::new(dir.path().into(), ([127, 0, 0, 1], 0).into());
/// # let node = seedlog_agent::Agent::start(config, std::sync::Arc::new(seedlog_runtime::disk::RealDisk)).await?;
/// # let address = node.rpc_addr().to_string();
/// use seedlog_client::{ApiError, Cluster, Conditions, Error, ProducerSequence, Record};
///
/// let cluster = Cluster::connect([&address])?;
/// let record = |value: &'static str| vec![Record { value: value.into(), ..Record::default() }];
///
/// // Of two that saw the log end at the same offset, one appends there.
/// let only_here = Conditions { expected_offset: Some(cluster.next_offset().await?), ..Conditions::default() };
/// cluster.produce_if(record("first"), &only_here).await?;
/// let refused = cluster.produce_if(record("second"), &only_here).await;
/// assert!(matches!(refused, Err(Error::Server(ApiError::ExpectedOffset { expected: 0, next: 1 }))));
///
/// // Sent twice, and in the log once.
/// let producer = Some(ProducerSequence { id: "example".to_owned(), sequence: 0, gap_allowed: false });
/// let once = Conditions { producer, ..Conditions::default() };
/// assert!(!cluster.produce_if(record("once"), &once).await?.repeated);
/// assert!(cluster.produce_if(record("once"), &once).await?.repeated);
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Exactly once: the same records with the same sequence again are answered as the first time.
    pub producer: Option<ProducerSequence>,
    /// Compare-and-append: only if the first record gets this offset.
    pub expected_offset: Option<u64>,
    /// Only if the log's fencing token is not newer.
    pub fencing_token: Option<u64>,
}

/// Who produces, and which of its records these start with.
///
/// A producer that wants to send again what was not answered keeps at most [`IN_FLIGHT_MAX`] requests in
/// flight: so many are remembered. Sent again, a request must have the same records. The very first request
/// of a producer is to be answered before the next is sent (a produce stream of this crate sees to that).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSequence {
    /// 1 to 128 bytes; nobody else uses it at the same time.
    pub id: String,
    /// Of the first record; sequences count records. The first one ever may be any.
    pub sequence: u64,
    /// Sequences may be left out.
    pub gap_allowed: bool,
}

/// See [`ProducerSequence`].
pub const IN_FLIGHT_MAX: usize = 64;

/// As log.proto says.
const PRODUCER_ID_BYTES_MAX: usize = 128;

/// # Errors
/// [`Error::BadProducerId`]: to the server, none is no producer at all.
pub(crate) fn check_producer_id(id: &str) -> Result<(), Error> {
    let (bytes, max) = (id.len(), PRODUCER_ID_BYTES_MAX);
    if (1..=max).contains(&bytes) { Ok(()) } else { Err(Error::BadProducerId { bytes, max }) }
}

impl Conditions {
    /// # Errors
    /// As [`check_producer_id`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.producer.as_ref().map_or(Ok(()), |producer| check_producer_id(&producer.id))
    }

    pub(crate) fn request(&self) -> ProduceRequest {
        let Conditions { producer, expected_offset, fencing_token } = self.clone();
        let request = ProduceRequest { expected_offset, fencing_token, ..ProduceRequest::default() };
        match producer {
            Some(ProducerSequence { id, sequence, gap_allowed }) => {
                ProduceRequest { producer_id: id, sequence, allow_sequence_gap: gap_allowed, ..request }
            }
            None => request,
        }
    }
}
