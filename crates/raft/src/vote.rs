//! The vote's file: a node that forgets its vote can give it twice.

use crate::types::Vote;
use seedlog_log::{Identity, OpenError, small_file};
use seedlog_runtime::disk::Disk;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"SLVOTE01";

/// ```text
/// | term u64 | node id u64 | 1 if granted by a quorum, else 0: u8 | cluster id u128 and node id u64 of its owner |
/// ```
#[derive(Clone)]
pub struct VoteFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Who votes: another node's vote says nothing about what this one has promised.
    owner: Identity,
}

impl VoteFile {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, owner: Identity) -> VoteFile {
        VoteFile { disk, path: dir.join("vote"), owner }
    }

    /// # Errors
    /// If it cannot be read, is not what was written, or is another node's.
    pub fn read(&self) -> Result<Option<Vote>, OpenError> {
        let Some(body) = small_file::read(&*self.disk, &self.path, MAGIC)? else { return Ok(None) };
        let damaged = || OpenError::DamagedFile { path: self.path.clone(), what: "it does not decode" };
        let (vote, owner) = decode(&body).ok_or_else(damaged)?;
        self.owner.check_owner(&self.path, owner)?;
        Ok(Some(vote))
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
        small_file::replace(&*self.disk, &self.path, MAGIC, &encode(vote, self.owner))
            .map_err(|error| format!("save the vote in {}: {error}", self.path.display()))
    }
}

fn encode(vote: &Vote, owner: Identity) -> [u8; 41] {
    let mut body = [0; 41];
    body[..8].copy_from_slice(&vote.leader_id.term.to_le_bytes());
    body[8..16].copy_from_slice(&vote.leader_id.voted_for.to_le_bytes());
    body[16] = u8::from(vote.committed);
    body[17..].copy_from_slice(&owner.encode());
    body
}

fn decode(body: &[u8]) -> Option<(Vote, Identity)> {
    let (body, owner) = body.split_at_checked(17)?;
    let owner = match owner {
        // Of before owners were noted.
        [] => Identity::default(),
        owner => Identity::decode(owner)?,
    };
    let (term, rest) = body.split_first_chunk::<8>()?;
    let (node, rest) = rest.split_first_chunk::<8>()?;
    let (term, node) = (u64::from_le_bytes(*term), u64::from_le_bytes(*node));
    let vote = match rest {
        [0] => Vote::new(term, node),
        [1] => Vote::new_committed(term, node),
        _ => return None,
    };
    Some((vote, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_comes_back_as_it_was_given() {
        for vote in [Vote::new(3, u64::MAX), Vote::new_committed(u64::MAX, 1)] {
            let owner = Identity { cluster_id: u128::MAX - 1, node_id: 7 };
            let encoded = encode(&vote, owner);
            assert_eq!(decode(&encoded), Some((vote, owner)));
            assert_eq!(decode(&encoded[..17]), Some((vote, Identity::default())), "as it was before it had an owner");
            for end in (0..encoded.len()).filter(|end| *end != 17) {
                assert_eq!(decode(&encoded[..end]), None, "{end}");
            }
        }
        assert_eq!(decode(&[2; 41]), None);
    }
}
