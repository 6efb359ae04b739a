//! What a node owes that cannot tell any more where its log ended.
//!
//! It may have acked entries that it does not have now, and a leader may have counted on it. So it notes, durably,
//! before it lets go of anything, that it is *marked*; and as long as it is,
//!
//! - it does not stand for election, and nobody is handed the leadership here;
//! - it gives nobody its vote: not knowing what it had, it cannot tell a candidate that has less;
//! - a leader has to be told before it appends here that this log is shorter than it was. It would rightly take that for a
//!   disk that lies.
//!
//! Whoever is elected meanwhile is so by others, and what was committed with this node's ack is with one of those. It
//! follows such a leader, and proposes something to it: what was there before, acked here or not, comes before that in
//! the leader's log. When it is committed and durable here, nothing is owed any more, and the mark goes.
//!
//! A start sees that the end is lost if what is left says so. Of a disk that goes back to an earlier state without a trace, a
//! leader knows: it says what the node has acknowledged to it ([`Node::may_append`]).

use crate::error::StartError;
use crate::leader::Leading;
use crate::node::Node;
use crate::peer::why_not;
use crate::status::{Role, Status};
use crate::types::{LogId, Vote, entry_id};
use crate::wire::from_log_id;
use seedlog_api::raft_v1 as v1;
use seedlog_log::{Command, Identity, OpenError, small_file};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::{blocking, clock, select, watch};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Status as Refusal;

const MAGIC: [u8; 8] = *b"SLMARK01";

/// ```text
/// | cluster id u128 | node id u64 of its owner |
/// ```
#[derive(Clone)]
pub struct MarkFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    owner: Identity,
}

impl MarkFile {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, owner: Identity) -> MarkFile {
        MarkFile { disk, path: dir.join("mark"), owner }
    }

    /// Whether the node is marked. A file that says nothing any more was one that said so.
    ///
    /// # Errors
    /// If it cannot be read, or is another node's.
    pub fn is_there(&self) -> Result<bool, OpenError> {
        match small_file::read(&*self.disk, &self.path, MAGIC) {
            Ok(None) => Ok(false),
            Err(OpenError::DamagedFile { .. }) => Ok(true),
            Ok(Some(body)) => {
                if let Some(owner) = Identity::decode(&body) {
                    self.owner.check_owner(&self.path, owner)?;
                }
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// With the file and the reason.
    pub fn set(&self) -> Result<(), StartError> {
        let written = small_file::replace(&*self.disk, &self.path, MAGIC, &self.owner.encode());
        written.map_err(|error| OpenError::Io { what: "write", path: self.path.clone(), error }.into())
    }

    /// It may come back, with a power loss: then the node owes once more what it has.
    ///
    /// # Errors
    /// With the reason.
    pub fn clear(&self) -> io::Result<()> {
        self.disk.remove(&self.path)?;
        self.disk.sync_dir(self.path.parent().unwrap_or(Path::new("/")))
    }
}

/// What a running node lets others do with it.
pub struct Marked {
    file: MarkFile,
    is_marked: watch::Sender<bool>,
    /// The newest leader that was turned away.
    wants: watch::Sender<Option<Vote>>,
    /// The leader that was told, and may append.
    told: watch::Sender<Option<Vote>>,
    lost_without_a_trace: AtomicU64,
}

impl Marked {
    pub fn new(file: MarkFile, is_marked: bool) -> Marked {
        let nobody = || watch::channel(None).0;
        Marked {
            file,
            is_marked: watch::channel(is_marked).0,
            wants: nobody(),
            told: nobody(),
            lost_without_a_trace: AtomicU64::new(0),
        }
    }

    pub fn is_marked(&self) -> bool {
        *self.is_marked.borrow()
    }

    pub fn lost_without_a_trace(&self) -> u64 {
        self.lost_without_a_trace.load(Ordering::Relaxed)
    }

    /// From now on. No leader is told, and none may append, before that is durable: see [`follow`].
    fn begin(&self) -> bool {
        self.is_marked.send_if_modified(|is_marked| {
            let begins = !*is_marked;
            if begins {
                // Of an earlier mark: what they were told of is over.
                self.wants.send(None);
                self.told.send(None);
            }
            *is_marked = true;
            begins
        })
    }

    /// # Errors
    /// If the node is marked.
    pub fn may_promise(&self) -> Result<(), Refusal> {
        if self.is_marked() {
            return Err(Refusal::unavailable(
                "this node has lost the end of its log, and cannot tell who has more of it",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// If the node is marked, and `leader` does not know yet what that means.
    pub fn may_append(&self, leader: &Vote) -> Result<(), Refusal> {
        if !self.is_marked() || self.told.borrow().as_ref() == Some(leader) {
            return Ok(());
        }
        self.wants.send(Some(*leader));
        Err(Refusal::unavailable("this node has lost the end of its log, and tells the leader first"))
    }
}

impl Node {
    /// `acknowledged` is how far the leader has this node's word that it has all.
    ///
    /// # Errors
    /// If the node is marked, or is so from now on, and the leader does not know yet what that means.
    pub(crate) fn may_append(&self, leader: &Vote, acknowledged: Option<v1::LogId>) -> Result<(), Refusal> {
        if let Some(acknowledged) = acknowledged {
            self.look_for(from_log_id(acknowledged), leader);
        }
        self.marked().may_append(leader)
    }

    /// A leader knows that this node has acknowledged all up to `acknowledged`. If that is not here any more, the disk has
    /// lost it without a trace, and the node is marked.
    fn look_for(&self, acknowledged: LogId, leader: &Vote) {
        // In this order: whoever takes entries back here that others gave has this node's vote before.
        let last = self.store().tail().last();
        let is_outvoted = self.store().vote().is_some_and(|vote| vote.leader_id.term > leader.leader_id.term);
        let acknowledged = entry_id(&acknowledged);
        // With a later entry of that term it has all before it, too.
        if is_outvoted || last >= Some(acknowledged) || !self.marked().begin() {
            return;
        }
        self.stands(false);
        let lost = (acknowledged.index + 1).saturating_sub(last.map_or(0, |last| last.index + 1)).max(1);
        self.marked().lost_without_a_trace.fetch_add(lost, Ordering::Relaxed);
        tracing::error!(
            last = last.map(|last| last.to_string()),
            acknowledged = acknowledged.to_string(),
            "this node's log ends before what it has acknowledged: its disk has lost that without a trace, and may do so again"
        );
    }

    fn stands(&self, may_stand: bool) {
        self.peers().may_stand(may_stand);
        self.raft().runtime_config().elect(may_stand);
    }

    /// Another node's log is shorter than what it acknowledged to this leader, or is so no more. Returns the term in which
    /// this node leads, and knows of it now; 0 if it does not lead.
    pub(crate) async fn hear_of_loss(&self, node_id: u64, lost: bool) -> u64 {
        let Status { role: Role::Leader, term, .. } = self.status() else { return 0 };
        if lost {
            tracing::warn!(node = format!("{node_id:016x}"), "a follower has lost entries that it had acknowledged");
        }
        // For this one alone, and once: of all others it would hide that a disk lies.
        match self.raft().trigger().allow_next_revert(&node_id, lost).await {
            Ok(Ok(())) => term,
            // It leads no more, or stops, or does not know the node.
            Ok(Err(_)) | Err(_) => 0,
        }
    }
}

/// Settles what is owed, each time that something is, until the node stops.
pub async fn follow(node: Node) {
    let mut is_marked = node.marked().is_marked.subscribe();
    let settling = async {
        while is_marked.wait_for(|is_marked| *is_marked).await.is_ok() {
            let file = node.marked().file.clone();
            if let Err(error) = blocking(move || file.set()).await {
                return node.fail(error);
            }
            tracing::warn!(
                "the end of this node's log is lost: it gives no votes until it has all again that it may have acknowledged"
            );
            select! {
                () = tell_leaders(&node) => {}
                () = settle(&node) => {}
            }
        }
    };
    select! {
        _ = node.stopped() => {}
        () = settling => {}
    }
}

/// Each leader that would append, before it may.
async fn tell_leaders(node: &Node) {
    let mut wants = node.marked().wants.subscribe();
    let mut said = String::new();
    loop {
        let Ok(leader) = wants.wait_for(Option::is_some).await.map(|leader| *leader) else { return };
        let leader = leader.expect("it was waited for");
        if node.marked().told.borrow().as_ref() == Some(&leader) {
            if wants.changed().await.is_err() {
                return;
            }
            continue;
        }
        match tell(node, &leader, true).await {
            Ok(true) => node.marked().told.send(Some(leader)),
            Ok(false) => {}
            Err(status) => {
                let why = why_not(&status);
                if said != why {
                    tracing::info!(why, "the leader cannot be told that entries are lost here");
                    said = why;
                }
            }
        }
        clock::sleep(node.config().heartbeat).await;
    }
}

/// Whether it still leads.
async fn tell(node: &Node, leader: &Vote, lost: bool) -> Result<bool, Refusal> {
    let node_id = leader.leader_id.voted_for;
    let term = node.peers().lost(node_id, &node.known_address(node_id), lost).await?;
    Ok(term == leader.leader_id.term)
}

async fn settle(node: &Node) {
    loop {
        match settled(node).await {
            Ok(()) => break,
            Err(why) => tracing::debug!(why, "it is not known yet whether this node has all that it acknowledged"),
        }
        clock::sleep(node.config().heartbeat).await;
    }
    let file = node.marked().file.clone();
    if let Err(error) = blocking(move || file.clear()).await {
        // The next start settles it again.
        tracing::warn!(%error, "the mark cannot be removed");
    }
    node.marked().is_marked.send(false);
    node.stands(true);
    tracing::info!("this node has all again that it may have acknowledged: it votes");
    let told = *node.marked().told.borrow();
    if let Some(leader) = told
        && let Err(status) = tell(node, &leader, false).await
    {
        tracing::debug!(why = why_not(&status), "the leader does not know that nothing is lost here any more");
    }
}

/// Returns when something that was proposed after the loss is durable here, and all before it.
///
/// # Errors
/// Why it is not.
async fn settled(node: &Node) -> Result<(), String> {
    if node.leader_now() == Leading::Nobody {
        return Err("nobody leads".to_owned());
    }
    // Trims nothing.
    let proposed = node.submit_command(Command::Trim { first_offset: 0 }).await;
    proposed.map_err(|error| error.to_string())?;
    let applied = node.linearize().await.map_err(|error| error.to_string())?;
    node.durable(applied.last).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::disk::{OpenMode, SimDisk};

    fn file() -> (SimDisk, MarkFile) {
        let disk = SimDisk::new(1);
        disk.create_dir_all("/groups/0".as_ref()).unwrap();
        disk.sync_dir("/groups".as_ref()).unwrap();
        let owner = Identity { cluster_id: 7, node_id: 1 };
        (disk.clone(), MarkFile::new(Arc::new(disk), "/groups/0".as_ref(), owner))
    }

    #[test]
    fn a_mark_that_was_set_survives_a_power_loss_and_one_that_was_cleared_does_not_come_back() {
        let (disk, file) = file();
        assert!(!file.is_there().unwrap());
        file.set().unwrap();
        disk.power_loss(1);
        assert!(file.is_there().unwrap());
        file.clear().unwrap();
        disk.power_loss(2);
        assert!(!file.is_there().unwrap());
    }

    #[test]
    fn one_that_cannot_be_understood_counts_and_another_nodes_does_not() {
        let (disk, file) = file();
        let damaged = disk.open("/groups/0/mark".as_ref(), OpenMode::CreateNew).unwrap();
        damaged.write_all_at(b"nonsense", 0).unwrap();
        assert!(file.is_there().unwrap());
        file.set().unwrap();
        let other = MarkFile { owner: Identity { cluster_id: 7, node_id: 2 }, ..file };
        assert!(other.is_there().is_err());
    }

    #[test]
    fn a_marked_node_gives_no_vote_and_is_appended_to_by_who_was_told_alone() {
        let marked = Marked::new(file().1, true);
        let leader = Vote::new_committed(3, 2);
        assert!(marked.may_promise().is_err() && marked.may_append(&leader).is_err());
        assert_eq!(*marked.wants.borrow(), Some(leader));
        marked.told.send(Some(leader));
        assert!(marked.may_promise().is_err() && marked.may_append(&leader).is_ok());
        assert!(marked.may_append(&Vote::new_committed(4, 2)).is_err());
        let unmarked = Marked::new(file().1, false);
        assert!(unmarked.may_promise().is_ok() && unmarked.may_append(&leader).is_ok());
    }
}
