//! A record as it is kept: an encoded `log.v1.Record` without what its place in the log says anyway.

use crate::v1::Record;
use bytes::Bytes;
use prost::{DecodeError, Message};

/// What is kept of a record that a client sent. Position and append time are the server's to say, so
/// a client's are dropped here.
pub fn stored(record: Record) -> Bytes {
    Record { offset: 0, term: 0, append_time_ms: 0, ..record }.encode_to_vec().into()
}

/// The record kept as `stored`, with its place in the log. Shares `stored`'s bytes.
///
/// # Errors
/// If `stored` is not what [`stored`] returned.
pub fn with_position(stored: Bytes, offset: u64, term: u64, append_time_ms: u64) -> Result<Record, DecodeError> {
    let append_time_ms = i64::try_from(append_time_ms).unwrap_or(i64::MAX);
    Ok(Record { offset, term, append_time_ms, ..Record::decode(stored)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Header;

    fn record() -> Record {
        Record {
            value: "value".into(),
            r#type: 3,
            key: "key".into(),
            headers: vec![Header { name: "trace".into(), value: "7".into() }],
            timestamp_ms: Some(-5),
            ..Default::default()
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_sent_with_its_place() {
        let read = with_position(stored(record()), 10, 2, 1234).unwrap();
        assert_eq!(read, Record { offset: 10, term: 2, append_time_ms: 1234, ..record() });
    }

    #[test]
    fn a_place_that_the_client_claims_is_not_kept() {
        let claimed = Record { offset: 99, term: 99, append_time_ms: 99, ..record() };
        assert_eq!(stored(claimed), stored(record()));
    }

    #[test]
    fn the_value_that_is_read_shares_the_bytes_that_are_stored() {
        let stored = stored(record());
        let inside = stored.as_ptr() as usize..stored.as_ptr() as usize + stored.len();
        assert!(inside.contains(&(with_position(stored, 0, 0, 0).unwrap().value.as_ptr() as usize)));
    }

    #[test]
    fn garbage_is_no_record() {
        assert!(with_position(Bytes::from_static(b"\xff\xff"), 0, 0, 0).is_err());
    }
}
