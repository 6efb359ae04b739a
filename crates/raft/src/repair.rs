//! A log that was damaged while the node was down is made whole before Raft runs over it, from what others have.
//!
//! Until then the node neither votes nor acks: whatever it promised stands. It gives others what is sound in its log,
//! so that nodes that are damaged at different places help each other.

mod asking;

use crate::addresses::Addresses;
use crate::error::StartError;
use crate::mark::MarkFile;
use crate::peer::Peers;
use crate::tally::Tally;
use crate::types::{self, Vote};
use crate::vote::VoteFile;
use asking::Asking;
use seedlog_log::{Config, Identity, Lacking, Lender, OpenError, Opened, Remedy};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::{blocking, clock, watch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Payload that is fetched before it is put in its place.
const ROUND_BYTES: usize = 64 << 20;
/// How long a node that knows of no other waits to hear of one.
const STRANGERS_MAX: Duration = Duration::from_secs(10);

/// What a node that starts has to do with the world before it is part of it.
#[derive(Clone)]
pub struct Outside {
    /// Where the other nodes are, as far as that is heard.
    pub addresses: Addresses,
    /// Whether anything may still be heard of others.
    pub hears: bool,
    /// Set while it repairs its log.
    pub repairing: watch::Sender<Option<Repairing>>,
    /// Where it counts, from here on until it has stopped.
    pub tally: Tally,
}

impl Default for Outside {
    fn default() -> Outside {
        let (addresses, repairing) = (Addresses::default(), watch::channel(None).0);
        Outside { addresses, hears: false, repairing, tally: Tally::default() }
    }
}

/// What a node shows that repairs its log.
#[derive(Clone)]
pub struct Repairing {
    /// For people: what it lacks, and what those said whom it asked.
    pub about: String,
    pub(crate) me: Identity,
    pub(crate) lender: Arc<Lender>,
    pub(crate) tally: Tally,
}

/// Opens a group's log, and repairs it first if it must be.
pub(crate) struct Opener {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub config: Config,
    pub vote: VoteFile,
    pub mark: MarkFile,
    pub peers: Peers,
    pub outside: Outside,
    /// Between two questions to the same node.
    pub pause: Duration,
}

/// A log that Raft can run over.
pub(crate) struct Ready {
    pub opened: Opened,
    pub vote: Option<Vote>,
    /// It cannot tell where its log ended, and has not yet caught up with what it may have acknowledged.
    pub is_marked: bool,
    /// How many entries were fetched to repair it, if it had to be.
    pub repaired: Option<usize>,
}

/// How far a repair is.
#[derive(Default)]
struct Repair {
    remedy: Remedy,
    /// How much is fetched before it is put in its place.
    round_bytes: usize,
    /// What was lacking before the last step.
    before: Option<Lacking>,
    fetched: usize,
    /// As of then, too.
    fetched_before: usize,
    /// Whom to ask first, of all there are.
    turn: usize,
    /// How often there was nothing to be done, since something was.
    hopeless: u32,
}

impl Opener {
    /// # Errors
    /// What cannot be repaired, or has nobody to be repaired from. Nothing is lost by it that was not before.
    pub async fn open(&self) -> Result<Ready, StartError> {
        let mut repair = Repair { round_bytes: ROUND_BYTES, ..Repair::default() };
        loop {
            let error = match self.try_open().await {
                Ok((opened, vote, is_marked)) => {
                    self.outside.tally.is_repairing(false);
                    let repaired = repair.before.map(|_| repair.fetched);
                    if let Some(entries) = repaired {
                        tracing::info!(entries, "the log is whole again");
                    }
                    self.outside.repairing.send(None);
                    return Ok(Ready { opened, vote, is_marked, repaired });
                }
                Err(error) if is_damage(&error) => error,
                Err(error) => return Err(error),
            };
            tracing::warn!(%error, "the log needs repair");
            self.outside.tally.is_repairing(true);
            if !self.repair(&mut repair).await? {
                return Err(error);
            }
        }
    }

    async fn try_open(&self) -> Result<(Opened, Option<Vote>, bool), StartError> {
        let (disk, dir, vote, mark) = (self.disk.clone(), self.dir.clone(), self.vote.clone(), self.mark.clone());
        let mut config = self.config.clone();
        blocking(move || {
            let voted = vote.read()?;
            let is_marked = mark.is_there()?;
            // A node that has voted had a log, if only an empty one.
            config.create &= voted.is_none() && !is_marked;
            let opened = seedlog_log::open(disk, &dir, config)?;
            // The first entry of a cluster has term 0 and comes before any vote; all others after one.
            if voted.is_none() && opened.recovered.last.is_some_and(|last| last.term > 0) {
                return Err(StartError::Open(vote.lost()));
            }
            Ok((opened, voted, is_marked))
        })
        .await
    }

    /// Whether it is worth while to open the log again.
    async fn repair(&self, repair: &mut Repair) -> Result<bool, StartError> {
        loop {
            let found = match self.look().await {
                // An end that cannot be read may be readable another time.
                Ok(lender) if lender.lacking().ailing && is_told(&lender.lacking()) => Some(lender),
                _ => None,
            };
            let Some(lender) = found else {
                // It may have been no more than a read that failed once.
                repair.hopeless += 1;
                return Ok(repair.hopeless == 1);
            };
            let lacking = lender.lacking();
            let stuck = repair.before.as_ref() == Some(&lacking);
            if stuck && (lacking.missing.is_empty() || repair.fetched == repair.fetched_before) {
                return Ok(false);
            }
            repair.fetched_before = repair.fetched;
            if !self.has_others(&lacking).await {
                return Ok(false);
            }
            if stuck {
                // What was brought was not enough for a whole store.
                repair.round_bytes = repair.round_bytes.saturating_mul(2);
            }
            if lacking.end_lost {
                // Nobody could say what it was, and this node itself not what it promised.
                let mark = self.mark.clone();
                blocking(move || mark.set()).await?;
                repair.remedy.end_lost = true;
                repair.remedy.end = Some(lacking.end);
                tracing::warn!(from = lacking.end, "the end of the log is lost: it is not known how far it went");
            }
            let asking = Asking { opener: self, lacking: &lacking, lender: Arc::new(lender) };
            asking.fetch(repair).await;
            let anew = repair.remedy.start.as_ref().is_some_and(|start| start.next_index() >= lacking.end);
            self.mend(repair).await?;
            repair.before = Some(lacking);
            // What is whole now is opened, whatever failed before.
            repair.hopeless = 0;
            if anew {
                return Ok(true);
            }
        }
    }

    async fn look(&self) -> Result<Lender, OpenError> {
        let (disk, dir, config) = (self.disk.clone(), self.dir.clone(), self.config.clone());
        blocking(move || Lender::new(disk, &dir, &config)).await
    }

    async fn mend(&self, repair: &mut Repair) -> Result<(), StartError> {
        let (disk, dir, config) = (self.disk.clone(), self.dir.clone(), self.config.clone());
        let mut remedy = std::mem::take(&mut repair.remedy);
        let (remedy, mended) = blocking(move || {
            let mended = seedlog_log::mend(&*disk, &dir, &config, &remedy);
            (remedy.end, remedy.end_lost) = (None, false);
            (remedy, mended)
        })
        .await;
        match mended {
            Ok(()) => repair.remedy = remedy,
            Err(bad @ OpenError::BadCopy { .. }) => {
                tracing::error!(%bad, "another node's entries are not used");
                repair.turn += 1;
                clock::sleep(self.pause).await;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Whether there is anybody to ask.
    async fn has_others(&self, lacking: &Lacking) -> bool {
        let waits_until = clock::now() + STRANGERS_MAX;
        loop {
            if !self.heard_of(lacking).is_empty() {
                return true;
            }
            if !self.outside.hears || clock::now() > waits_until {
                return false;
            }
            clock::sleep(self.pause).await;
        }
    }

    fn heard_of(&self, lacking: &Lacking) -> BTreeMap<u64, String> {
        others(&self.outside.addresses, &lacking.membership, self.config.owner.node_id)
    }
}

/// The members, as far as an entry's payload tells, and those who were heard of since.
pub(crate) fn others(addresses: &Addresses, membership: &[u8], node_id: u64) -> BTreeMap<u64, String> {
    let mut others = addresses.all();
    if let Ok(membership) = types::decode_membership(membership) {
        others.extend(membership.nodes().map(|(node_id, peer)| (*node_id, peer.rpc_addr.clone())));
    }
    others.remove(&node_id);
    others
}

/// Whether it is certain what can be had of it.
fn is_told(lacking: &Lacking) -> bool {
    !lacking.end_unknown || lacking.end_lost
}

/// Whether it is the log's files that are not what they were.
fn is_damage(error: &StartError) -> bool {
    match error {
        StartError::Open(OpenError::Damaged(_)) => true,
        StartError::Open(OpenError::DamagedFile { path, .. } | OpenError::Io { what: "read", path, .. }) => {
            path.extension().is_some_and(|extension| extension == "store" || extension == "state")
        }
        _ => false,
    }
}
