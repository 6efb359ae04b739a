//! The vote's file: a node that forgets its vote can give it twice.

use crate::types::Vote;
use seedlog_log::{OpenError, small_file};
use seedlog_runtime::disk::Disk;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"SLVOTE01";

/// ```text
/// | term u64 | node id u64 | 1 if granted by a quorum, else 0: u8 |   little endian
/// ```
#[derive(Clone)]
pub struct VoteFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl VoteFile {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> VoteFile {
        VoteFile { disk, path: dir.join("vote") }
    }

    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn read(&self) -> Result<Option<Vote>, OpenError> {
        let Some(body) = small_file::read(&*self.disk, &self.path, MAGIC)? else { return Ok(None) };
        decode(&body).map(Some).ok_or(OpenError::DamagedFile { path: self.path.clone(), what: "it does not decode" })
    }

    /// That it is not there although it was.
    pub fn lost(&self) -> OpenError {
        OpenError::DamagedFile {
            path: self.path.clone(),
            what: "it is missing, and the log has entries that follow a vote",
        }
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// With the file and the reason; final, as any failed write.
    pub fn save(&self, vote: &Vote) -> Result<(), String> {
        small_file::replace(&*self.disk, &self.path, MAGIC, &encode(vote))
            .map_err(|error| format!("save the vote in {}: {error}", self.path.display()))
    }
}

fn encode(vote: &Vote) -> [u8; 17] {
    let mut body = [0; 17];
    body[..8].copy_from_slice(&vote.leader_id.term.to_le_bytes());
    body[8..16].copy_from_slice(&vote.leader_id.voted_for.to_le_bytes());
    body[16] = u8::from(vote.committed);
    body
}

fn decode(body: &[u8]) -> Option<Vote> {
    let (term, rest) = body.split_first_chunk::<8>()?;
    let (node, rest) = rest.split_first_chunk::<8>()?;
    let (term, node) = (u64::from_le_bytes(*term), u64::from_le_bytes(*node));
    match rest {
        [0] => Some(Vote::new(term, node)),
        [1] => Some(Vote::new_committed(term, node)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_comes_back_as_it_was_given() {
        for vote in [Vote::new(3, u64::MAX), Vote::new_committed(u64::MAX, 1)] {
            assert_eq!(decode(&encode(&vote)), Some(vote));
            assert_eq!(decode(&encode(&vote)[..16]), None);
        }
        assert_eq!(decode(&[2; 17]), None);
    }
}
