//! How much one request may ask for.

pub use seedlog_runtime::rpc::MESSAGE_BYTES_MAX;

/// The most records in one answer: with at most 64 bytes of framing each, and the bytes of
/// [`READ_BYTES_MAX`] and one record more, an answer stays below [`MESSAGE_BYTES_MAX`].
pub(crate) const READ_RECORDS_MAX: usize = 32 << 10;
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;

/// Limits of our own, stricter than what the wire would carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Value, key and headers of one record.
    pub record_bytes_max: usize,
    /// One atomic batch, as it is kept: its records with 4 bytes each.
    pub batch_bytes_max: usize,
    /// Requests of one produce stream that are taken in and not answered yet.
    pub in_flight_max: usize,
    /// The longest a `Consume` with `wait_ms` waits; asking for more waits this long.
    pub wait_ms_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { record_bytes_max: 1 << 20, batch_bytes_max: 4 << 20, in_flight_max: 256, wait_ms_max: 60_000 }
    }
}

/// A limit that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, it must be from {min} to {max}")]
pub struct BadLimit {
    pub name: &'static str,
    pub value: usize,
    pub min: usize,
    pub max: usize,
}

/// What a batch may be at most, so that it can still be read back in one answer.
const BATCH_BYTES_CEILING: usize = 6 << 20;

impl Limits {
    /// # Errors
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), BadLimit> {
        let within = |name, value: usize, min, max| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(BadLimit { name, value, min, max }) }
        };
        within("batch_bytes_max", self.batch_bytes_max, 1 << 10, BATCH_BYTES_CEILING)?;
        // The 64 bytes are what a record alone in a batch needs around it.
        within("record_bytes_max", self.record_bytes_max, 1, self.batch_bytes_max - 64)?;
        within("in_flight_max", self.in_flight_max, 1, 1 << 16)?;
        within("wait_ms_max", self.wait_ms_max as usize, 1, 3_600_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn a_record_that_no_batch_could_hold_is_refused_and_both_numbers_are_named() {
        let limits = Limits { record_bytes_max: 5 << 20, ..Limits::default() };
        let error = limits.check().unwrap_err().to_string();
        assert_eq!(error, "record_bytes_max is 5242880, it must be from 1 to 4194240");
    }

    #[test]
    fn the_largest_answer_fits_into_a_message() {
        let record_bytes_max = BATCH_BYTES_CEILING - 64;
        assert!(READ_RECORDS_MAX * 64 + READ_BYTES_MAX.max(record_bytes_max) <= MESSAGE_BYTES_MAX);
    }
}
