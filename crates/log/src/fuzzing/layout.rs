//! Headers and frames.

use super::Input;
use crate::layout::{
    BATCH_HEADER_BYTES, BatchHeader, FRAME_HEADER_BYTES, Frame, FrameFault, FrameHeader, STORE_HEADER_BYTES,
    StoreHeader, crc_in_place, crc32c, padded,
};
use crate::{EntryId, Identity, Kind};
use bytes::Bytes;

/// Any bytes as a header or a frame, as they are and with magic and checksums put right; and as the
/// payload of a frame: what decodes comes back as it was written, and a cut or a flipped bit is noticed.
///
/// ```text
/// | salt u64 | position u64 | cut u16 | bit u16 | the bytes |
/// ```
pub fn layout(input: &[u8]) {
    let mut input = Input::new(input);
    let (salt, position) = (input.u64(), input.u64());
    let (cut, bit) = (input.u16().into(), input.u16().into());
    let bytes = input.rest();
    as_they_are(bytes, salt, position);

    let (store, batch, frame) = mended(bytes, salt, position);
    as_they_are(&store, salt, position);
    as_they_are(&batch, salt, position);
    as_they_are(&frame, salt, position);
    assert!(StoreHeader::decode(&store).is_some());
    if let Some(header) = BatchHeader::decode(&batch, salt, position) {
        // Every byte of it says something.
        assert_eq!(header.encode(salt, position), batch[..]);
    }
    if let Some(header) = FrameHeader::decode(&frame, salt, position) {
        let again = header.encode(salt, position);
        assert_eq!((again[..2].to_vec(), &again[4..56]), (frame[..2].to_vec(), &frame[4..56]));
        whole_frame(header, bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default(), salt, position, cut, bit);
    }
}

fn as_they_are(bytes: &[u8], salt: u64, position: u64) {
    if let Some(header) = StoreHeader::decode(bytes) {
        assert_eq!(StoreHeader::decode(&header.encode()), Some(header));
        // What follows is of no meaning yet.
        assert_eq!(header.encode()[..48], bytes[..48]);
    }
    if let Some(header) = BatchHeader::decode(bytes, salt, position) {
        assert_eq!(header.encode(salt, position), bytes[..BATCH_HEADER_BYTES]);
    }
    if let Some(header) = FrameHeader::decode(bytes, salt, position) {
        assert_eq!(FrameHeader::decode(&header.encode(salt, position), salt, position), Some(header));
    }
    match Frame::decode(&Bytes::copy_from_slice(bytes), salt, position) {
        Ok(frame) => {
            assert_eq!(FrameHeader::decode(bytes, salt, position), Some(frame.header));
            assert_eq!(frame.payload.len(), frame.header.payload_length as usize);
            assert!(frame.header.frame_length() <= bytes.len());
        }
        Err(FrameFault::Short(needed)) => assert!(needed > bytes.len()),
        Err(FrameFault::Header) => assert_eq!(FrameHeader::decode(bytes, salt, position), None),
        Err(FrameFault::Payload) => assert!(FrameHeader::decode(bytes, salt, position).is_some()),
    }
}

fn whole_frame(header: FrameHeader, payload: &[u8], salt: u64, position: u64, cut: usize, bit: usize) {
    let header = FrameHeader { payload_length: payload.len() as u32, payload_crc: crc32c(payload), ..header };
    let mut bytes = header.encode(salt, position).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(padded(bytes.len()), 0);
    let read = |bytes: &[u8], position| Frame::decode(&Bytes::copy_from_slice(bytes), salt, position);
    let frame = read(&bytes, position).expect("it was written just now");
    assert_eq!((frame.header, &frame.payload[..]), (header, payload));
    assert_eq!(frame.clone().into_entry().payload, frame.payload);

    let cut = cut % bytes.len();
    assert!(matches!(read(&bytes[..cut], position), Err(FrameFault::Short(needed)) if needed > cut));
    assert_eq!(read(&bytes, position ^ 8), Err(FrameFault::Header));
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    // The last four bytes of the header and the padding are unused and uncovered.
    let unused = (60..64).contains(&(bit / 8)) || bit / 8 >= FRAME_HEADER_BYTES + payload.len();
    assert_eq!(read(&bytes, position).is_ok(), unused, "bit {bit}");
}

/// The bytes as the three headers, with magic and checksum put right.
fn mended(bytes: &[u8], salt: u64, position: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let padded_to = |length: usize| {
        let mut header = bytes[..length.min(bytes.len())].to_vec();
        header.resize(length, 0);
        header
    };
    let mut store = padded_to(STORE_HEADER_BYTES as usize);
    store[..8].copy_from_slice(&StoreHeader { first_index: 0, salt, owner: Identity::default() }.encode()[..8]);
    let crc = crc32c(&store[..60]);
    store[60..].copy_from_slice(&crc.to_le_bytes());

    let mut batch = padded_to(BATCH_HEADER_BYTES);
    let any = BatchHeader { length: 0, number: 0, committed: None, first_index: 0, count: 0 };
    batch[..4].copy_from_slice(&any.encode(salt, position)[..4]);
    let crc = crc_in_place(&batch[..36], salt, position);
    batch[36..].copy_from_slice(&crc.to_le_bytes());

    let mut frame = padded_to(FRAME_HEADER_BYTES);
    frame[0] = BLANK.encode(salt, position)[0];
    let crc = crc_in_place(&frame[..56], salt, position);
    frame[56..60].copy_from_slice(&crc.to_le_bytes());
    (store, batch, frame)
}

const BLANK: FrameHeader = FrameHeader {
    kind: Kind::Blank,
    payload_length: 0,
    id: EntryId { term: 0, index: 0 },
    first_offset: 0,
    time_ms: 0,
    batch: 0,
    count: 0,
    payload_crc: 0,
};
