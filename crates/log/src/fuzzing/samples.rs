//! What the fuzzer starts from: written by the same encoders as the product's files.

use super::settle::{OWNER, SALT};
use crate::batch::{Conditions, ProducerSequence, RecordBatch};
use crate::checkpoint::Checkpoint;
use crate::command::{Command, Fence, Retention};
use crate::entry::{Entry, EntryId, Kind};
use crate::layout::{BatchHeader, FrameHeader, StoreHeader, crc32c};
use bytes::Bytes;

/// By target.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = Vec::new();
    let batches = batches().into_iter().map(|batch| batch.encode());
    let commands = [
        Command::Trim { first_offset: 3 },
        Command::Fence(Fence { token: 5, required: true }),
        Command::SetRetention(Retention { bytes_max: 1 << 30, age_ms_max: 60_000 }),
    ];
    let payloads: Vec<Bytes> = batches.chain(commands.map(Command::encode)).collect();
    samples.extend(payloads.iter().map(|payload| ("payloads", payload.to_vec())));
    samples.extend(headers().into_iter().map(|header| ("layout", header)));
    samples.push(("checkpoint", sized(&[], &Checkpoint::default().encode())));
    samples.push(("checkpoint", sized(&[], &folded(&payloads).encode())));
    samples.extend(scripts(&folded(&payloads)).into_iter().map(|script| ("store", script)));
    samples.extend(changes().into_iter().map(|changes| ("damage", changes)));
    samples
}

fn batches() -> [RecordBatch; 3] {
    let producer = ProducerSequence { id: "p".into(), sequence: 0, gap_allowed: true };
    let all = Conditions { producer: Some(producer), expected_offset: Some(1), fencing_token: Some(7) };
    [
        RecordBatch::from(vec![Bytes::from_static(b"one")]),
        RecordBatch { conditions: all, records: vec![Bytes::new(), Bytes::from_static(b"two")] },
        RecordBatch::default(),
    ]
}

fn folded(payloads: &[Bytes]) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    let mut fold = |kind, payload: &Bytes| {
        let id = EntryId { term: 1, index: checkpoint.next_index() };
        checkpoint.apply(&Entry { id, kind, time_ms: 9, payload: payload.clone() }).expect("written just now");
    };
    fold(Kind::Membership, &"members".into());
    for payload in payloads {
        fold(if RecordBatch::inspect(payload).is_ok() { Kind::Records } else { Kind::Command }, payload);
    }
    checkpoint
}

fn headers() -> Vec<Vec<u8>> {
    let position: u64 = 104;
    let payload = b"payload";
    let batch = BatchHeader { length: 72, number: 3, committed: Some(4), first_index: 5, count: 1 };
    let frame = FrameHeader {
        kind: Kind::Membership,
        payload_length: payload.len() as u32,
        id: EntryId { term: 2, index: 5 },
        first_offset: 9,
        time_ms: 77,
        batch: 3,
        count: 0,
        payload_crc: crc32c(payload),
    };
    let whole_frame = [&frame.encode(SALT, position)[..], payload, &[0]].concat();
    let store = StoreHeader { first_index: 5, salt: SALT, owner: OWNER }.encode();
    let of = |bytes: &[u8]| [&SALT.to_le_bytes()[..], &position.to_le_bytes(), &[9, 0, 70, 1], bytes].concat();
    vec![of(&store), of(&batch.encode(SALT, position)), of(&whole_frame)]
}

/// Operations of [`super::store`].
fn scripts(checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
    const BATCH: [u8; 7] = [3, 0, 200, 0, 0, 0, 2];
    let frame = |kind: u8, payload: &[u8]| [&[9, kind, 0, 0, 0], payload, &[0; 4]].concat();
    let records = frame(0, &[0, 2, 3, b'a', b'b', b'c', 1, b'd']);
    let produced = frame(0, &[1, 0, 1, 1, b'e']);
    let blank = frame(1, &[0]);
    let trim = frame(3, &[0, 1]);
    let fence = frame(3, &[4, 3]);
    let next_segment = [2, 0, 0];
    let one = [&BATCH[..], &blank, &records, &BATCH, &produced, &trim, &[1, 9]].concat();
    let two = [&one[..], &next_segment, &BATCH, &records, &fence, &next_segment, &BATCH, &records].concat();
    vec![
        [&[0][..], &one].concat(),
        [&[2][..], &two].concat(),
        [&[8][..], &two, &[0, 4, 0], b"torn"].concat(),
        [&sized(&[1], &checkpoint.encode())[..], &two].concat(),
    ]
}

/// Changes of [`super::damage`].
fn changes() -> Vec<Vec<u8>> {
    let change = |file: u8, what: u8, position: u8| [file, 0, what, position, 1];
    vec![
        vec![0],
        [&[2][..], &change(1, 3, 9)].concat(),
        [&[1][..], &change(0, 15, 9), &[9; 15]].concat(),
        [&[11][..], &change(5, 12, 0), &[0, 2]].concat(),
        [&[8][..], &change(3, 13, 0), &change(2, 11, 0)].concat(),
    ]
}

fn sized(before: &[u8], bytes: &[u8]) -> Vec<u8> {
    [before, &(bytes.len() as u16).to_le_bytes(), bytes].concat()
}
