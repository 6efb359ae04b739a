//! What an administrator says to the log, as an entry.

use crate::entry::BadPayload;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// The payload of a command entry: `| tag u8 | fields, u64 little endian each (a flag: u8) |`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Records below this offset need not be kept.
    Trim {
        first_offset: u64,
    },
    Fence(Fence),
    SetRetention(Retention),
}

/// Who may produce: a produce that carries an older token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fence {
    pub token: u64,
    /// A produce without a token is refused, too.
    pub required: bool,
}

/// What is kept at least; what exceeds it is trimmed, in whole segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Of all stores together. 0: no limit.
    pub bytes_max: u64,
    /// By append time, milliseconds. 0: no limit.
    pub age_ms_max: u64,
}

impl Retention {
    pub fn keeps_all(self) -> bool {
        self == Retention::default()
    }
}

const TRIM: u8 = 1;
const FENCE: u8 = 2;
const SET_RETENTION: u8 = 3;

impl Command {
    pub fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(17);
        match self {
            Command::Trim { first_offset } => {
                out.put_u8(TRIM);
                out.put_u64_le(first_offset);
            }
            Command::Fence(Fence { token, required }) => {
                out.put_u8(FENCE);
                out.put_u64_le(token);
                out.put_u8(required.into());
            }
            Command::SetRetention(Retention { bytes_max, age_ms_max }) => {
                out.put_u8(SET_RETENTION);
                out.put_u64_le(bytes_max);
                out.put_u64_le(age_ms_max);
            }
        }
        out.freeze()
    }

    /// # Errors
    /// If the bytes are no command of this version.
    pub fn decode(payload: &[u8]) -> Result<Command, BadPayload> {
        let command = match payload.split_first() {
            Some((&TRIM, mut fields)) if fields.len() == 8 => Some(Command::Trim { first_offset: fields.get_u64_le() }),
            Some((&FENCE, mut fields)) if fields.len() == 9 && fields[8] <= 1 => {
                let token = fields.get_u64_le();
                Some(Command::Fence(Fence { token, required: fields.get_u8() == 1 }))
            }
            Some((&SET_RETENTION, mut fields)) if fields.len() == 16 => {
                let bytes_max = fields.get_u64_le();
                Some(Command::SetRetention(Retention { bytes_max, age_ms_max: fields.get_u64_le() }))
            }
            _ => None,
        };
        command.ok_or(BadPayload { what: "command", length: payload.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_round_trips_and_no_prefix_of_it_does() {
        for command in [
            Command::Trim { first_offset: 7 },
            Command::Fence(Fence { token: u64::MAX, required: true }),
            Command::SetRetention(Retention { bytes_max: 1, age_ms_max: 2 }),
        ] {
            let bytes = command.encode();
            assert_eq!(Command::decode(&bytes), Ok(command));
            assert!((0..bytes.len()).all(|end| Command::decode(&bytes[..end]).is_err()));
            assert!(Command::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
}
