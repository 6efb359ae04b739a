use crate::error::Error;
use seedlog_api::v1::ProduceRequest;

/// On what conditions records are appended. None by default.
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
