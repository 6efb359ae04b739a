//! ```text
//!  0        1      2
//!  +--------+------+----------------------------------------------------------+
//!  | version| kind | payload                                                  |
//!  +--------+------+----------------------------------------------------------+
//!    1        0      foca: header, news (postcard)
//!             1      hello: nonce u64          "who is there?", to an address whose node nobody knows
//!             2      here:  nonce u64, identity (postcard)                the answer
//!             3      known: node u64, incarnation u64    "a newer life of yours is known: go above it"
//! ```
//! Integers are little-endian. postcard does not describe itself: whatever changes a payload is a new version.

use crate::identity::Identity;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 2;
/// A seal around all of it (a nonce and a tag, and room for what a key rotation may need).
const SEAL_BYTES: usize = 40;

/// What goes through every network in one piece.
pub const DATAGRAM_BYTES_MAX: usize = 1400;
pub const FOCA_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - SEAL_BYTES;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    Foca(&'a [u8]),
    Hello { nonce: u64 },
    Here { nonce: u64, identity: Identity },
    Known { node_id: u64, incarnation: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("the datagram is of version {version:?}, and this node speaks {VERSION}")]
    Foreign { version: Option<u8> },
    #[error("the datagram makes no sense")]
    Garbage,
}

impl Packet<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        match self {
            Packet::Foca(payload) => {
                bytes.push(0);
                bytes.extend_from_slice(payload);
            }
            Packet::Hello { nonce } => {
                bytes.push(1);
                bytes.extend_from_slice(&nonce.to_le_bytes());
            }
            Packet::Here { nonce, identity } => {
                bytes.push(2);
                bytes.extend_from_slice(&nonce.to_le_bytes());
                bytes = postcard::to_extend(identity, bytes).expect("a vector takes whatever is written");
            }
            Packet::Known { node_id, incarnation } => {
                bytes.push(3);
                bytes.extend_from_slice(&node_id.to_le_bytes());
                bytes.extend_from_slice(&incarnation.to_le_bytes());
            }
        }
        assert!(bytes.len() + SEAL_BYTES <= DATAGRAM_BYTES_MAX, "{} bytes are no datagram", bytes.len());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Packet<'_>, Undecodable> {
        let [version, rest @ ..] = bytes else { return Err(Undecodable::Foreign { version: None }) };
        if *version != VERSION {
            return Err(Undecodable::Foreign { version: Some(*version) });
        }
        let [kind, payload @ ..] = rest else { return Err(Undecodable::Garbage) };
        match kind {
            0 if payload.len() <= FOCA_BYTES_MAX => Ok(Packet::Foca(payload)),
            1 => match split_u64(payload) {
                Some((nonce, [])) => Ok(Packet::Hello { nonce }),
                _ => Err(Undecodable::Garbage),
            },
            2 => {
                let (nonce, rest) = split_u64(payload).ok_or(Undecodable::Garbage)?;
                match postcard::take_from_bytes(rest) {
                    Ok((identity, [])) => Ok(Packet::Here { nonce, identity }),
                    _ => Err(Undecodable::Garbage),
                }
            }
            3 => {
                let (node_id, rest) = split_u64(payload).ok_or(Undecodable::Garbage)?;
                match split_u64(rest) {
                    Some((incarnation, [])) => Ok(Packet::Known { node_id, incarnation }),
                    _ => Err(Undecodable::Garbage),
                }
            }
            _ => Err(Undecodable::Garbage),
        }
    }
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// Who sends what to whom, of a packet of foca's.
pub fn foca_header(payload: &[u8]) -> Result<foca::Header<Identity>, Undecodable> {
    postcard::take_from_bytes(payload).map(|(header, _)| header).map_err(|_| Undecodable::Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;
    use crate::member::tests::largest;
    use foca::{Codec, Header, Message, PostcardCodec};

    #[test]
    fn every_kind_survives_the_way() {
        let packets = [
            Packet::Foca(b"anything"),
            Packet::Foca(b""),
            Packet::Hello { nonce: u64::MAX },
            Packet::Here { nonce: 7, identity: identity(3, 9) },
            Packet::Known { node_id: 3, incarnation: 1 << 40 },
        ];
        for packet in packets {
            assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
    }

    #[test]
    fn foreign_and_cut_datagrams_are_told_apart_from_ours() {
        assert_eq!(Packet::decode(b""), Err(Undecodable::Foreign { version: None }));
        assert_eq!(Packet::decode(b"\x02\x01hello"), Err(Undecodable::Foreign { version: Some(2) }));
        assert_eq!(Packet::decode(b"GET / HTTP/1.1"), Err(Undecodable::Foreign { version: Some(b'G') }));
        for packet in
            [Packet::Here { nonce: 7, identity: identity(3, 9) }, Packet::Known { node_id: 3, incarnation: 4 }]
        {
            let mut bytes = packet.encode();
            for len in 1..bytes.len() {
                assert_eq!(Packet::decode(&bytes[..len]), Err(Undecodable::Garbage), "{len} bytes of {packet:?}");
            }
            bytes.push(0);
            assert_eq!(Packet::decode(&bytes), Err(Undecodable::Garbage), "one byte more than {packet:?}");
        }
    }

    /// The largest there is: a probe by way of a third, with news of a fourth, all as large as they may be.
    #[test]
    fn the_largest_members_fit_into_a_datagram_four_at_a_time() {
        let largest = Identity { incarnation: u64::MAX, leaving: true, member: largest() };
        let message = Message::PingReq { target: largest.clone(), probe_number: u8::MAX };
        let header = Header { src: largest.clone(), src_incarnation: u16::MAX, dst: largest.clone(), message };
        let mut bytes = Vec::new();
        PostcardCodec.encode_header(&header, &mut bytes).unwrap();
        assert_eq!(foca_header(&bytes), Ok(header));
        bytes.extend_from_slice(&1u16.to_be_bytes());
        let news = foca::Member::new(largest.clone(), u16::MAX, foca::State::Suspect);
        PostcardCodec.encode_member(&news, &mut bytes).unwrap();
        assert!(bytes.len() <= FOCA_BYTES_MAX, "{} bytes", bytes.len());
        Packet::Here { nonce: u64::MAX, identity: largest }.encode();
    }
}
