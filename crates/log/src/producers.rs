//! Who has produced what lately: what makes a produce that is sent twice happen once.

use crate::batch::ProducerSequence;
use crate::state::Refusal;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};

/// So many producers are remembered. One more, and the one whose last record is the oldest is
/// forgotten: a producer is known for as long as fewer than this many others have written since.
pub const PRODUCERS_MAX: usize = 1000;

/// So many last batches of each producer are remembered: as many as it may have in flight, if it is to
/// send them all again.
pub const BATCHES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Producers {
    by_id: BTreeMap<Bytes, VecDeque<Batch>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    sequence: u64,
    first_offset: u64,
    count: u32,
}

/// Where a producer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBatch {
    /// The sequence that its next record has.
    pub next_sequence: u64,
    /// One past its last record.
    pub next_offset: u64,
}

impl Batch {
    fn next_sequence(&self) -> u64 {
        self.sequence.saturating_add(self.count.into())
    }
}

/// What a producer's batch is, going by its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// It stands there already.
    Repeated {
        first_offset: u64,
    },
    Refused(Refusal),
}

impl Producers {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What this producer appended last.
    pub fn last(&self, id: &[u8]) -> Option<LastBatch> {
        let last = self.by_id.get(id)?.back()?;
        let next_offset = last.first_offset + u64::from(last.count);
        Some(LastBatch { next_sequence: last.next_sequence(), next_offset })
    }

    pub(crate) fn judge(&self, producer: &ProducerSequence, count: u32) -> Verdict {
        let sequence = producer.sequence;
        // Whoever is not known may start anywhere.
        let Some(batches) = self.by_id.get(&producer.id) else { return Verdict::New };
        let expected = batches.back().map_or(0, Batch::next_sequence);
        if sequence == expected || sequence > expected && producer.gap_allowed {
            return Verdict::New;
        }
        if sequence > expected {
            return Verdict::Refused(Refusal::SequenceGap { sequence, expected });
        }
        match batches.iter().find(|batch| batch.sequence == sequence && batch.count == count) {
            Some(batch) => Verdict::Repeated { first_offset: batch.first_offset },
            None => Verdict::Refused(Refusal::SequenceTooOld { sequence, expected }),
        }
    }

    pub(crate) fn note(&mut self, id: &Bytes, sequence: u64, first_offset: u64, count: u32) {
        let batch = Batch { sequence, first_offset, count };
        if let Some(batches) = self.by_id.get_mut(id) {
            if batches.len() == BATCHES_MAX {
                batches.pop_front();
            }
            batches.push_back(batch);
            return;
        }
        if self.by_id.len() == PRODUCERS_MAX {
            // By position in the log, not by time: every replica forgets the same.
            let oldest = self.by_id.iter().min_by_key(|(_, batches)| batches.back().map(|last| last.first_offset));
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| self.by_id.remove(&id));
        }
        // A copy: the id must not keep its batch's records in memory.
        self.by_id.insert(Bytes::copy_from_slice(id), VecDeque::from([batch]));
    }

    /// `| producers u32 | each: id length u8, id, batches u8, each: sequence u64, first offset u64, count u32 |`
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.by_id.len() as u32);
        for (id, batches) in &self.by_id {
            out.put_u8(id.len() as u8);
            out.put_slice(id);
            out.put_u8(batches.len() as u8);
            for Batch { sequence, first_offset, count } in batches {
                out.put_u64_le(*sequence);
                out.put_u64_le(*first_offset);
                out.put_u32_le(*count);
            }
        }
    }

    pub(crate) fn decode(rest: &mut &[u8]) -> Option<Producers> {
        let mut producers = Producers::default();
        let count = rest.try_get_u32_le().ok()? as usize;
        for _ in 0..Some(count).filter(|count| *count <= PRODUCERS_MAX)? {
            let length = rest.try_get_u8().ok()? as usize;
            let (id, after) = rest.split_at_checked(length)?;
            *rest = after;
            let mut batches = VecDeque::new();
            for _ in 0..rest.try_get_u8().ok()? {
                batches.push_back(Batch {
                    sequence: rest.try_get_u64_le().ok()?,
                    first_offset: rest.try_get_u64_le().ok()?,
                    count: rest.try_get_u32_le().ok()?,
                });
            }
            if batches.is_empty() || batches.len() > BATCHES_MAX {
                return None;
            }
            producers.by_id.insert(Bytes::copy_from_slice(id), batches);
        }
        (producers.len() == count).then_some(producers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(producers: &Producers, id: &'static str, sequence: u64, count: u32, gap_allowed: bool) -> Verdict {
        producers.judge(&ProducerSequence { id: id.into(), sequence, gap_allowed }, count)
    }

    #[test]
    fn a_repeated_batch_is_known_by_sequence_and_count_and_everything_else_is_refused_with_what_was_expected() {
        let mut producers = Producers::default();
        assert_eq!(judge(&producers, "a", 100, 2, false), Verdict::New);
        producers.note(&"a".into(), 100, 7, 2);
        producers.note(&"a".into(), 102, 30, 3);
        assert_eq!(judge(&producers, "a", 100, 2, false), Verdict::Repeated { first_offset: 7 });
        assert_eq!(judge(&producers, "a", 102, 3, true), Verdict::Repeated { first_offset: 30 });
        assert_eq!(judge(&producers, "a", 105, 1, false), Verdict::New);
        let too_old = |sequence| Verdict::Refused(Refusal::SequenceTooOld { sequence, expected: 105 });
        assert_eq!(judge(&producers, "a", 99, 1, false), too_old(99));
        assert_eq!(judge(&producers, "a", 100, 3, false), too_old(100));
        assert_eq!(judge(&producers, "a", 101, 1, true), too_old(101));
        let gap = Verdict::Refused(Refusal::SequenceGap { sequence: 106, expected: 105 });
        assert_eq!(judge(&producers, "a", 106, 1, false), gap);
        assert_eq!(judge(&producers, "a", 106, 1, true), Verdict::New);
        assert_eq!(judge(&producers, "b", 5, 1, false), Verdict::New);
        assert_eq!(producers.last(b"a"), Some(LastBatch { next_sequence: 105, next_offset: 33 }));
        assert_eq!(producers.last(b"b"), None);
    }

    #[test]
    fn the_last_batches_of_a_producer_are_remembered_and_no_more() {
        let mut producers = Producers::default();
        for sequence in 0..=BATCHES_MAX as u64 {
            producers.note(&"a".into(), sequence, sequence, 1);
        }
        assert!(matches!(judge(&producers, "a", 0, 1, false), Verdict::Refused(Refusal::SequenceTooOld { .. })));
        assert_eq!(judge(&producers, "a", 1, 1, false), Verdict::Repeated { first_offset: 1 });
    }

    #[test]
    fn the_producer_that_wrote_last_the_longest_ago_is_forgotten_first() {
        let mut producers = Producers::default();
        for number in 0..PRODUCERS_MAX as u64 {
            producers.note(&format!("p{number}").into(), 0, number, 1);
        }
        producers.note(&"p0".into(), 1, 5000, 1);
        producers.note(&"new".into(), 0, 5001, 1);
        assert_eq!(producers.len(), PRODUCERS_MAX);
        assert_eq!(judge(&producers, "p1", 9, 1, false), Verdict::New);
        assert_eq!(judge(&producers, "p0", 1, 1, false), Verdict::Repeated { first_offset: 5000 });
    }

    #[test]
    fn a_sequence_at_the_end_of_the_numbers_overflows_nothing() {
        let mut producers = Producers::default();
        producers.note(&"a".into(), u64::MAX, 0, 9);
        assert_eq!(judge(&producers, "a", u64::MAX, 9, false), Verdict::New);
    }
}
