//! The payload of a records entry: the records of one produce call, and on what condition they are
//! appended.

use crate::entry::BadPayload;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::Range;

/// The longest id of a producer, bytes.
pub const PRODUCER_ID_BYTES_MAX: usize = 128;

/// The records of one produce call, atomic.
///
/// ```text
/// | options length u32 | options | record count u32 | count x ( length u32 | bytes ) |   little endian
/// ```
/// A record's bytes are opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordBatch {
    pub conditions: Conditions,
    pub records: Vec<Bytes>,
}

/// What the fold decides on before it appends a batch. None of them set: it is appended.
///
/// ```text
/// | flags u8 | 1: id length u8, id, sequence u64 | 4: expected offset u64 | 8: fencing token u64 |
/// ```
/// Flag 2 allows a gap in the sequence. No flag set: no options at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    pub producer: Option<ProducerSequence>,
    /// The offset that the first record must get.
    pub expected_offset: Option<u64>,
    /// Refused if the log's fencing token is newer.
    pub fencing_token: Option<u64>,
}

/// Who produces, and which of its records the batch starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSequence {
    /// 1 to [`PRODUCER_ID_BYTES_MAX`] bytes.
    pub id: Bytes,
    /// Of the batch's first record. Sequences count records.
    pub sequence: u64,
    /// Sequences may be left out.
    pub gap_allowed: bool,
}

/// Records without conditions.
impl From<Vec<Bytes>> for RecordBatch {
    fn from(records: Vec<Bytes>) -> RecordBatch {
        RecordBatch { conditions: Conditions::default(), records }
    }
}

const PRODUCER: u8 = 1;
const GAP_ALLOWED: u8 = 2;
const EXPECTED_OFFSET: u8 = 4;
const FENCING_TOKEN: u8 = 8;

impl RecordBatch {
    /// # Panics
    /// If the producer's id is empty or too long: whoever takes requests in checks it.
    pub fn encode(&self) -> Bytes {
        let options = self.conditions.encoded_len();
        let bytes: usize = self.records.iter().map(|r| 4 + r.len()).sum();
        let mut out = BytesMut::with_capacity(8 + options + bytes);
        out.put_u32_le(options as u32);
        self.conditions.encode(&mut out);
        out.put_u32_le(self.records.len() as u32);
        for record in &self.records {
            out.put_u32_le(record.len() as u32);
            out.put_slice(record);
        }
        out.freeze()
    }

    /// # Errors
    /// If the bytes are no batch of this version. Conditions it does not know could change what the
    /// entry means: they are refused, not skipped.
    pub fn decode(payload: &Bytes) -> Result<RecordBatch, BadPayload> {
        let mut records = Vec::new();
        let conditions = walk(payload, |range| records.push(payload.slice(range)))?;
        Ok(RecordBatch { conditions, records })
    }

    /// The conditions and the number of records, all bytes checked and none copied.
    ///
    /// # Errors
    /// As [`RecordBatch::decode`].
    pub fn inspect(payload: &[u8]) -> Result<(Conditions, u32), BadPayload> {
        let mut count = 0;
        let conditions = walk(payload, |_| count += 1)?;
        Ok((conditions, count))
    }
}

fn walk(payload: &[u8], mut record: impl FnMut(Range<usize>)) -> Result<Conditions, BadPayload> {
    let bad = || BadPayload { what: "record batch", length: payload.len() };
    let mut rest = payload;
    let options = rest.try_get_u32_le().map_err(|_| bad())? as usize;
    let (options, mut rest) = rest.split_at_checked(options).ok_or_else(bad)?;
    let conditions = Conditions::decode(options).ok_or_else(bad)?;
    for _ in 0..rest.try_get_u32_le().map_err(|_| bad())? {
        let length = rest.try_get_u32_le().map_err(|_| bad())? as usize;
        let start = payload.len() - rest.len();
        rest = rest.get(length..).ok_or_else(bad)?;
        record(start..start + length);
    }
    if rest.is_empty() { Ok(conditions) } else { Err(bad()) }
}

impl Conditions {
    /// Bytes of the options.
    pub fn encoded_len(&self) -> usize {
        if *self == Conditions::default() {
            return 0;
        }
        let number = |set: bool| if set { 8 } else { 0 };
        let producer = self.producer.as_ref().map_or(0, |producer| 1 + producer.id.len() + 8);
        1 + producer + number(self.expected_offset.is_some()) + number(self.fencing_token.is_some())
    }

    fn encode(&self, out: &mut BytesMut) {
        if *self == Conditions::default() {
            return;
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let gap_allowed = self.producer.as_ref().is_some_and(|producer| producer.gap_allowed);
        out.put_u8(
            flag(self.producer.is_some(), PRODUCER)
                | flag(gap_allowed, GAP_ALLOWED)
                | flag(self.expected_offset.is_some(), EXPECTED_OFFSET)
                | flag(self.fencing_token.is_some(), FENCING_TOKEN),
        );
        if let Some(producer) = &self.producer {
            let length = producer.id.len();
            assert!((1..=PRODUCER_ID_BYTES_MAX).contains(&length), "a producer id of {length} bytes");
            out.put_u8(length as u8);
            out.put_slice(&producer.id);
            out.put_u64_le(producer.sequence);
        }
        for number in [self.expected_offset, self.fencing_token].into_iter().flatten() {
            out.put_u64_le(number);
        }
    }

    fn decode(mut options: &[u8]) -> Option<Conditions> {
        if options.is_empty() {
            return Some(Conditions::default());
        }
        let flags = options.try_get_u8().ok()?;
        let has = |flag: u8| flags & flag != 0;
        if flags == 0 || flags > 15 || has(GAP_ALLOWED) && !has(PRODUCER) {
            return None;
        }
        let mut conditions = Conditions::default();
        if has(PRODUCER) {
            let length = options.try_get_u8().ok()? as usize;
            let (id, rest) = options.split_at_checked(length)?;
            if !(1..=PRODUCER_ID_BYTES_MAX).contains(&length) {
                return None;
            }
            options = rest;
            let sequence = options.try_get_u64_le().ok()?;
            let id = Bytes::copy_from_slice(id);
            conditions.producer = Some(ProducerSequence { id, sequence, gap_allowed: has(GAP_ALLOWED) });
        }
        if has(EXPECTED_OFFSET) {
            conditions.expected_offset = Some(options.try_get_u64_le().ok()?);
        }
        if has(FENCING_TOKEN) {
            conditions.fencing_token = Some(options.try_get_u64_le().ok()?);
        }
        options.is_empty().then_some(conditions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches() -> Vec<RecordBatch> {
        let producer = |gap_allowed| ProducerSequence { id: "p".into(), sequence: u64::MAX, gap_allowed };
        let conditions = [
            Conditions::default(),
            Conditions { producer: Some(producer(false)), ..Conditions::default() },
            Conditions { producer: Some(producer(true)), expected_offset: Some(0), fencing_token: Some(7) },
            Conditions { expected_offset: Some(3), ..Conditions::default() },
        ];
        let records = [vec![], vec![Bytes::new()], vec![Bytes::from("a"), Bytes::from("bc")]];
        let both = |conditions: &Conditions| {
            records.clone().map(|records| RecordBatch { conditions: conditions.clone(), records })
        };
        conditions.iter().flat_map(both).collect()
    }

    #[test]
    fn a_batch_round_trips_and_no_prefix_of_it_does() {
        for batch in batches() {
            let bytes = batch.encode();
            assert_eq!(RecordBatch::decode(&bytes), Ok(batch.clone()));
            let inspected = (batch.conditions.clone(), batch.records.len() as u32);
            assert_eq!(RecordBatch::inspect(&bytes), Ok(inspected));
            assert_eq!(
                bytes.len(),
                8 + batch.conditions.encoded_len() + batch.records.iter().map(|r| 4 + r.len()).sum::<usize>()
            );
            for end in 0..bytes.len() {
                assert!(RecordBatch::decode(&bytes.slice(..end)).is_err());
            }
        }
    }

    #[test]
    fn conditions_of_a_later_version_are_refused_not_skipped() {
        let options = [&[1, 0, 0, 0, 16][..], &[0, 0, 0, 0]].concat();
        assert!(RecordBatch::inspect(&options).is_err());
        let gap_of_nobody = [&[1, 0, 0, 0, 2][..], &[0, 0, 0, 0]].concat();
        assert!(RecordBatch::inspect(&gap_of_nobody).is_err());
    }
}
