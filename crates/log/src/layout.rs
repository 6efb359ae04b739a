//! The bytes of a `.store` file. All integers little endian; every structure starts at a multiple of 8.
//!
//! ```text
//! store:   | store header 64 | batch | batch | ... | zeros written ahead |
//! batch:   | batch header 40 | frame | frame | ... |
//! frame:   | frame header 64 | payload | zeros up to a multiple of 8 |
//!
//! store header       batch header               frame header
//!  0 magic 8          0 magic u32                0 magic u8, kind u8, zero u16
//!  8 first index u64  4 length of frames u32     4 payload length u32
//! 16 salt u64         8 number u64              8 term u64
//! 24 cluster id u128 16 committed u64           16 index u64
//! 40 node id u64     24 first index u64         24 first offset u64
//! 48 zeros           32 frame count u32         32 append time u64 (ms since 1970)
//! 60 CRC u32         36 CRC u32                 40 batch number u64
//!                                               48 record count u32
//!                                               52 CRC of the payload u32
//!                                               56 CRC of the header u32
//!                                               60 zero u32
//! ```
//! CRCs are CRC-32C. Those of batch and frame headers also cover the store's salt and their own
//! position, so that neither a record's bytes, nor a write that landed elsewhere, nor a leftover can
//! pass for one. `committed` is one more than min(committed index, last synced index); 0 is none.
//!
//! A batch may end early: where its next frame would start, a batch header with a higher number takes
//! over (what was truncated, or torn and cut). Batch k is written only after batch k-1 was synced.

use crate::data_dir::Identity;
use crate::entry::{Entry, EntryId, Kind};
use bytes::Bytes;

pub const STORE_HEADER_BYTES: u64 = 64;
pub const BATCH_HEADER_BYTES: usize = 40;
pub const FRAME_HEADER_BYTES: usize = 64;
/// What one entry may carry: a batch of records (4 MiB by default) and its lengths, with room.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// No index, offset or batch number gets near it; a larger one is damage, and would overflow when counted on.
pub const NUMBER_MAX: u64 = 1 << 62;

const STORE_MAGIC: [u8; 8] = *b"SEEDLOG1";
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"SLB1");
const FRAME_MAGIC: u8 = 0xf5;

pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

pub(crate) fn crc_in_place(header: &[u8], salt: u64, position: u64) -> u32 {
    // One contiguous buffer: a header is small, and three digest updates cost more than the copy.
    let mut covered = [0u8; FRAME_HEADER_BYTES + 16];
    covered[..header.len()].copy_from_slice(header);
    covered[header.len()..header.len() + 8].copy_from_slice(&salt.to_le_bytes());
    covered[header.len() + 8..header.len() + 16].copy_from_slice(&position.to_le_bytes());
    crc32c(&covered[..header.len() + 16])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreHeader {
    pub first_index: u64,
    pub salt: u64,
    /// Whose log this is. All zeros in a store of before it was noted.
    pub owner: Identity,
}

impl StoreHeader {
    pub fn encode(self) -> [u8; STORE_HEADER_BYTES as usize] {
        let mut out = [0; STORE_HEADER_BYTES as usize];
        out[..8].copy_from_slice(&STORE_MAGIC);
        out[8..16].copy_from_slice(&self.first_index.to_le_bytes());
        out[16..24].copy_from_slice(&self.salt.to_le_bytes());
        out[24..48].copy_from_slice(&self.owner.encode());
        let crc = crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<StoreHeader> {
        let bytes = bytes.get(..STORE_HEADER_BYTES as usize)?;
        if bytes[..8] != STORE_MAGIC || crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return None;
        }
        let (first_index, salt) = (u64_at(bytes, 8), u64_at(bytes, 16));
        Some(StoreHeader { first_index, salt, owner: Identity::decode(&bytes[24..48])? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of frames behind this header, as written.
    pub length: u32,
    /// Never used twice in a log.
    pub number: u64,
    /// min(committed index, last synced index).
    pub committed: Option<u64>,
    pub first_index: u64,
    pub count: u32,
}

impl BatchHeader {
    pub fn encode(self, salt: u64, position: u64) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        out[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..24].copy_from_slice(&self.committed.map_or(0, |index| index + 1).to_le_bytes());
        out[24..32].copy_from_slice(&self.first_index.to_le_bytes());
        out[32..36].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc_in_place(&out[..36], salt, position);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], salt: u64, position: u64) -> Option<BatchHeader> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let sound = u32_at(bytes, 0) == BATCH_MAGIC && crc_in_place(&bytes[..36], salt, position) == u32_at(bytes, 36);
        let header = sound.then(|| BatchHeader {
            length: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            committed: u64_at(bytes, 16).checked_sub(1),
            first_index: u64_at(bytes, 24),
            count: u32_at(bytes, 32),
        });
        header.filter(|header| header.number <= NUMBER_MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: Kind,
    pub payload_length: u32,
    pub id: EntryId,
    /// Offset of the entry's first record; the next record's, if it has none.
    pub first_offset: u64,
    pub time_ms: u64,
    pub batch: u64,
    pub count: u32,
    pub payload_crc: u32,
}

impl FrameHeader {
    pub fn encode(self, salt: u64, position: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        out[0] = FRAME_MAGIC;
        out[1] = self.kind as u8;
        out[4..8].copy_from_slice(&self.payload_length.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.term.to_le_bytes());
        out[16..24].copy_from_slice(&self.id.index.to_le_bytes());
        out[24..32].copy_from_slice(&self.first_offset.to_le_bytes());
        out[32..40].copy_from_slice(&self.time_ms.to_le_bytes());
        out[40..48].copy_from_slice(&self.batch.to_le_bytes());
        out[48..52].copy_from_slice(&self.count.to_le_bytes());
        out[52..56].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc_in_place(&out[..56], salt, position);
        out[56..60].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8], salt: u64, position: u64) -> Option<FrameHeader> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        if bytes[0] != FRAME_MAGIC || crc_in_place(&bytes[..56], salt, position) != u32_at(bytes, 56) {
            return None;
        }
        let header = FrameHeader {
            kind: Kind::from_u8(bytes[1])?,
            payload_length: u32_at(bytes, 4),
            id: EntryId { term: u64_at(bytes, 8), index: u64_at(bytes, 16) },
            first_offset: u64_at(bytes, 24),
            time_ms: u64_at(bytes, 32),
            batch: u64_at(bytes, 40),
            count: u32_at(bytes, 48),
            payload_crc: u32_at(bytes, 52),
        };
        (header.payload_length as usize <= PAYLOAD_BYTES_MAX).then_some(header)
    }

    /// Header, payload and padding.
    pub fn frame_length(&self) -> usize {
        FRAME_HEADER_BYTES + padded(self.payload_length as usize)
    }
}

/// A frame read back and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub header: FrameHeader,
    pub payload: Bytes,
}

/// Why the bytes at a position are no sound frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFault {
    /// The bytes end first; so many are needed.
    Short(usize),
    Header,
    Payload,
}

impl Frame {
    /// Decodes the frame at the start of `bytes`, which lie at `position` of their file.
    pub fn decode(bytes: &Bytes, salt: u64, position: u64) -> Result<Frame, FrameFault> {
        if bytes.len() < FRAME_HEADER_BYTES {
            return Err(FrameFault::Short(FRAME_HEADER_BYTES));
        }
        let header = FrameHeader::decode(bytes, salt, position).ok_or(FrameFault::Header)?;
        // With its padding: a frame that ends the file too early was never written whole.
        if bytes.len() < header.frame_length() {
            return Err(FrameFault::Short(header.frame_length()));
        }
        let end = FRAME_HEADER_BYTES + header.payload_length as usize;
        let payload = bytes.slice(FRAME_HEADER_BYTES..end);
        if crc32c(&payload) != header.payload_crc {
            return Err(FrameFault::Payload);
        }
        Ok(Frame { header, payload })
    }

    pub fn into_entry(self) -> Entry {
        Entry { id: self.header.id, kind: self.header.kind, time_ms: self.header.time_ms, payload: self.payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_at(position: u64, salt: u64) -> Vec<u8> {
        let payload = b"payload!x";
        let header = FrameHeader {
            kind: Kind::Records,
            payload_length: payload.len() as u32,
            id: EntryId { term: 3, index: 9 },
            first_offset: 4,
            time_ms: 77,
            batch: 6,
            count: 2,
            payload_crc: crc32c(payload),
        };
        let mut bytes = header.encode(salt, position).to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    #[test]
    fn a_frame_reads_back_only_where_it_was_written() {
        let bytes = Bytes::from(frame_at(64, 1));
        assert_eq!(Frame::decode(&bytes, 1, 64).unwrap().header.id, EntryId { term: 3, index: 9 });
        assert_eq!(Frame::decode(&bytes, 1, 576), Err(FrameFault::Header));
        assert_eq!(Frame::decode(&bytes, 2, 64), Err(FrameFault::Header));
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let good = frame_at(64, 1);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The last four bytes of the header and the padding are unused and uncovered.
            let unused = (60..64).contains(&(bit / 8)) || bit / 8 >= 64 + b"payload!x".len();
            let read = Frame::decode(&Bytes::from(bytes), 1, 64);
            assert_eq!(read.is_ok(), unused, "bit {bit}");
        }
    }

    #[test]
    fn headers_round_trip() {
        let batch = BatchHeader { length: 9, number: 8, committed: Some(0), first_index: 6, count: 5 };
        assert_eq!(BatchHeader::decode(&batch.encode(4, 40), 4, 40), Some(batch));
        let none = BatchHeader { committed: None, ..batch };
        assert_eq!(BatchHeader::decode(&none.encode(4, 40), 4, 40), Some(none));
        let forged = BatchHeader { number: u64::MAX, ..batch };
        assert_eq!(BatchHeader::decode(&forged.encode(4, 40), 4, 40), None);
        let owner = Identity { cluster_id: u128::MAX - 7, node_id: 8 };
        let store = StoreHeader { first_index: 5, salt: 6, owner };
        assert_eq!(StoreHeader::decode(&store.encode()), Some(store));
    }
}
