//! A node: a log, the Raft over it, and the tasks that keep them.

use crate::addresses::Addresses;
use crate::applied::Progress;
use crate::error::{NotReady, StartError};
use crate::heal::{self, Healed};
use crate::late_clock::LateClock;
use crate::machine::{Fold, Machine};
use crate::mark::{MarkFile, Marked};
use crate::pace::Pace;
use crate::peer::{Forwarder, Peers};
use crate::repair::{Opener, Outside, Ready, others};
use crate::settings::NodeConfig;
use crate::space::Space;
use crate::status::{self, Status};
use crate::stop::{Stop, StopReason};
use crate::store::{Held, Store};
use crate::tail::Tail;
use crate::tally::Tally;
use crate::trim;
use crate::types::{self, Peer, Raft, TypeConfig};
use crate::vote::VoteFile;
use crate::writer::{self, Parts, Queue, Request};
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::type_config::alias::WatchReceiverOf;
use rand::Rng as _;
use seedlog_log::{EntryId, Identity, Keeper};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::{blocking, buggify, clock, select, spawn, watch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, oneshot};

type ServerMetrics = WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>;

/// How long a shutdown waits for those who have not fetched their answers.
const ANSWERS_MAX: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    raft: Raft,
    server_metrics: ServerMetrics,
    peers: Peers,
    forwarder: Forwarder,
    addresses: Addresses,
    store: Store,
    keeper: Keeper,
    queue: Queue,
    progress: Progress,
    fold: Fold,
    space: Arc<Space>,
    in_flight: Arc<Semaphore>,
    freed: watch::Sender<u64>,
    /// Counts.
    refused_for_room: watch::Sender<u64>,
    quiet: watch::Sender<bool>,
    stop: Stop,
    late_clock: LateClock,
    /// Held by who changes the membership.
    changing: Mutex<()>,
    /// The newest term in which it was to hand the leadership over.
    handing_over: AtomicU64,
    pace: Pace,
    pristine: bool,
    marked: Marked,
    repaired: Option<usize>,
    tally: Tally,
}

impl Node {
    /// Opens the log in `group_dir` and starts Raft over it. With `config.bootstrap`, and nothing
    /// there yet, the node becomes the only voter of a new cluster.
    ///
    /// # Errors
    /// If the log is damaged and nobody could repair it, or cannot be opened, naming the place; nothing has been
    /// changed then.
    pub async fn start(disk: Arc<dyn Disk>, group_dir: PathBuf, config: NodeConfig) -> Result<Node, StartError> {
        Node::start_within(disk, group_dir, config, Outside::default()).await
    }

    /// As [`Node::start`]. A damaged log is repaired first, from what others have; that may take as long as they are
    /// not there.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_within(
        disk: Arc<dyn Disk>,
        group_dir: PathBuf,
        config: NodeConfig,
        outside: Outside,
    ) -> Result<Node, StartError> {
        let mut openraft_config = config.openraft().map_err(StartError::Config)?;
        let mut log_config = config.log.clone();
        if log_config.salt == 0 {
            log_config.salt = seedlog_runtime::rng("log salt").next_u64();
        }
        if buggify!("tiny_segments") {
            log_config.segment_bytes_max = 1 << 10;
        }
        let owner = Identity { cluster_id: config.cluster_id, node_id: config.node_id };
        log_config.owner = owner;
        let vote_file = VoteFile::new(disk.clone(), &group_dir, owner);
        let mark_file = MarkFile::new(disk.clone(), &group_dir, owner);
        let (addresses, tally) = (outside.addresses.clone(), outside.tally.clone());
        let peers = Peers::new(owner, addresses.clone(), config.patience());
        let opener = Opener {
            disk: disk.clone(),
            dir: group_dir.clone(),
            config: log_config.clone(),
            vote: vote_file.clone(),
            mark: mark_file.clone(),
            peers: peers.clone(),
            outside,
            pause: config.heartbeat,
        };
        let Ready { opened, vote, mut is_marked, repaired } = opener.open().await?;
        // Not before it is known what the log has lost.
        openraft_config.enable_elect = false;
        let recovered = opened.recovered;
        if let Some(torn) = &recovered.torn {
            tracing::warn!(%torn, "an unfinished last write was cut");
        }

        let pace = Pace::measure(disk.clone(), &group_dir, config.heartbeat).await;
        let stop = Stop::new();
        let space = Arc::new(Space::new(disk.clone(), group_dir.clone(), config.reserve_bytes));
        let tail = Tail::new(recovered.last_purged, recovered.last, config.tail_bytes_max);
        let held = Arc::new(Held::new(tail, vote, recovered.committed.map(types::log_id)));
        let reader = opened.reader;
        let start = reader.first_checkpoint();
        let queue = writer::start(Parts {
            log: opened.writer,
            reader: reader.clone(),
            vote: vote_file,
            held: held.clone(),
            space: space.clone(),
            stop: stop.clone(),
        });
        let keeper = Keeper::new(disk, group_dir, log_config, reader.clone());
        let (healer, healing) = heal::healing(heal::Parts {
            keeper: keeper.clone(),
            queue: queue.clone(),
            held: held.clone(),
            peers: peers.clone(),
            addresses: addresses.clone(),
            node_id: config.node_id,
            pause: config.heartbeat,
            stop: stop.clone(),
        });
        let store = Store::new(held, queue.clone(), reader, healer);
        let progress = Progress::new((&recovered.checkpoint).into());
        let machine = Machine::new(recovered.checkpoint, start, store.clone(), progress.clone());
        let fold = machine.shared_fold();
        drop(spawn({
            let (stop, healing) = (stop.clone(), healing.run(fold.clone()));
            async move {
                select! {
                    _ = stop.stopped() => {}
                    () = healing => {}
                }
            }
        }));
        let forwarder = Forwarder::new(peers.clone(), config.answer_max);
        let raft = Raft::new(config.node_id, Arc::new(openraft_config), peers.clone(), store.clone(), machine).await;
        let raft = raft.map_err(|fatal| StartError::Raft(fatal.to_string()))?;

        let is_alone = is_only_voter(&raft, config.node_id).await?;
        let followed = vote.map(|vote| vote.leader_id).filter(|other| other.voted_for != config.node_id);
        if let (Some(other), true, false) = (followed, is_alone, is_marked)
            && Some(other.term) > recovered.last.map(|last| last.term)
            && !did_vote(&raft, other.voted_for).await?
        {
            // So others voted, and this log has lost that they do.
            tracing::error!(
                term = other.term,
                voted_for = format!("{:016x}", other.voted_for),
                "this node's log says that nobody else votes, and it has voted for another since: its disk has lost the end of the log"
            );
            let mark_file = mark_file.clone();
            blocking(move || mark_file.set()).await?;
            is_marked = true;
        }
        peers.may_stand(!is_marked);
        raft.runtime_config().elect(!is_marked);

        let mut pristine = recovered.last.is_none() && vote.is_none() && !is_marked;
        if pristine && config.bootstrap {
            let me = Peer { name: config.node_name.clone(), rpc_addr: config.rpc_addr.clone() };
            let initialized = raft.initialize(BTreeMap::from([(config.node_id, me)])).await;
            initialized.map_err(|error| StartError::Raft(error.to_string()))?;
            pristine = false;
        } else if is_alone && !is_marked {
            // Nobody else could win, or object: no need to wait for the timeout.
            raft.trigger().elect(false).await.map_err(|fatal| StartError::Raft(fatal.to_string()))?;
        }

        // Alone, it waits for nobody's heartbeat.
        if !is_only_voter(&raft, config.node_id).await?
            && let Some(least) = pace.heartbeat_least()
        {
            let (sync, heartbeat) = (pace.sync.unwrap_or_default(), pace.heartbeat);
            tracing::warn!(
                "a sync of this node's disk takes {sync:?} and the heartbeat is {heartbeat:?}: a leader will look dead \
                 now and then; on every node, set heartbeat-ms to {} at least",
                least.as_millis()
            );
        }

        let freed = watch::channel(0).0;
        drop(spawn(supervise(raft.clone(), stop.clone())));
        let freeing = trim::follow(raft.clone(), store.clone(), progress.clone(), freed.clone());
        drop(spawn({
            let stop = stop.clone();
            async move {
                select! {
                    _ = stop.stopped() => {}
                    () = freeing => {}
                }
            }
        }));
        let in_flight = Arc::new(Semaphore::new(config.in_flight_bytes_max));
        let late_clock = LateClock::default();
        let server_metrics = raft.server_metrics();
        let inner = Inner {
            config,
            raft,
            server_metrics,
            peers,
            forwarder,
            addresses,
            store,
            keeper,
            queue,
            progress,
            fold,
            space,
            in_flight,
            freed,
            refused_for_room: watch::channel(0).0,
            quiet: watch::channel(false).0,
            stop,
            late_clock,
            changing: Mutex::new(()),
            handing_over: AtomicU64::new(0),
            pace,
            pristine,
            marked: Marked::new(mark_file, is_marked),
            repaired,
            tally,
        };
        let node = Node { inner: Arc::new(inner) };
        drop(spawn(crate::retention::follow(node.clone())));
        drop(spawn(crate::handover::follow(node.clone())));
        drop(spawn(crate::handover::follow_damage(node.clone())));
        drop(spawn(crate::scrub::follow(node.clone())));
        drop(spawn(crate::mark::follow(node.clone())));
        Ok(node)
    }

    /// Returns when this node knows a leader and has applied an entry of the current term: then it has
    /// applied all that was committed in earlier ones.
    ///
    /// # Errors
    /// If the node stops first.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let mut metrics = self.raft().metrics();
        while !self.is_ready() {
            select! {
                reason = self.stopped() => return Err(NotReady(reason)),
                changed = metrics.changed() => if changed.is_err() {
                    return Err(NotReady(self.stopped().await));
                },
            }
        }
        Ok(())
    }

    /// Whether it is so now that [`Node::ready`] would return at once.
    pub fn is_ready(&self) -> bool {
        let metrics = self.raft().metrics();
        let now = metrics.borrow_watched();
        let applied = self.progress().now().last;
        // A node that has stopped says to the end what it knew last.
        self.stop_reason().is_none()
            && now.current_leader.is_some()
            && applied.is_some_and(|last| last.term == now.current_term)
    }

    /// Returns when the node is not ready, be it that it has stopped.
    pub async fn unready(&self) {
        let mut metrics = self.raft().metrics();
        while self.is_ready() {
            select! {
                _ = self.stopped() => return,
                changed = metrics.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Whether this node was no member of any cluster when it started: then it waits for one to take it in.
    pub fn is_pristine(&self) -> bool {
        self.inner.pristine
    }

    /// Whether the last membership that is known to be committed has this node.
    pub fn is_committed_member(&self) -> bool {
        let seen = self.server_metrics().borrow_watched();
        let membership = &seen.committed_membership_config;
        self.has_applied(membership.log_id().as_ref().map(types::entry_id))
            && membership.membership().get_node(&self.config().node_id).is_some()
    }

    /// How many entries were fetched from others to repair the log when this node started, if it had to be.
    pub fn repaired(&self) -> Option<usize> {
        self.inner.repaired
    }

    /// Whether the end of its log was lost and it does not have all again that it may have acknowledged: it gives no
    /// votes until then.
    pub fn is_marked(&self) -> bool {
        self.marked().is_marked()
    }

    /// How many entries it has acknowledged, and its disk does not have and shows no trace of, as a leader has told it since it
    /// started.
    pub fn lost_without_a_trace(&self) -> u64 {
        self.marked().lost_without_a_trace()
    }

    /// What was lost and put right since it started.
    pub fn healed(&self) -> Healed {
        self.store().healer().healed()
    }

    /// For how long something has been found to be lost that it has not got back yet, and still tries to.
    pub fn ailing(&self) -> Option<Duration> {
        self.store().healer().ailing().borrow().map(clock::Instant::elapsed)
    }

    /// What it counts beside.
    pub fn tally(&self) -> &Tally {
        &self.inner.tally
    }

    /// The heartbeat, and what a sync took when this node started.
    pub fn pace(&self) -> Pace {
        self.inner.pace
    }

    pub fn status(&self) -> Status {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        status::status(&metrics, self.progress().now(), self.addresses(), self.stop_reason().is_some())
    }

    /// Returns when the node has stopped, with the first reason it had.
    pub async fn stopped(&self) -> StopReason {
        self.inner.stop.stopped().await
    }

    /// Ends what other nodes have open here, finishing what they asked: a server that stops waits for them.
    pub fn end_peer_streams(&self) {
        self.inner.quiet.send(true);
    }

    /// Returns when [`Node::end_peer_streams`] was called.
    pub(crate) async fn quiet(self) {
        let mut quiet = self.inner.quiet.subscribe();
        // It closes only with the node.
        let _ = quiet.wait_for(|quiet| *quiet).await;
    }

    /// Takes no more produce calls, answers those under way, seals the log and stops. Returns under a
    /// failed disk too.
    pub async fn shutdown(&self) {
        let Inner { in_flight, config, .. } = &*self.inner;
        let all = in_flight.clone();
        // Everything that is in flight holds a part; the rest of the queue is served before us.
        let drained = clock::timeout(ANSWERS_MAX, all.acquire_many_owned(config.in_flight_bytes_max as u32));
        select! {
            drained = drained => drop(drained),
            _ = self.stopped() => {}
        }
        in_flight.close();
        // It has no error to tell: whatever ended Raft before is in the reason already.
        let _ = self.raft().shutdown().await;
        let (done, ended) = oneshot::channel();
        if self.inner.queue.send(Request::Shutdown { done }).is_ok() {
            // Dropped when done.
            let _ = ended.await;
        }
        self.inner.stop.shutdown();
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    pub(crate) fn server_metrics(&self) -> &ServerMetrics {
        &self.inner.server_metrics
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    pub(crate) fn forwarder(&self) -> &Forwarder {
        &self.inner.forwarder
    }

    /// Where the other nodes are dialled; who hears of a newer address says so here.
    pub fn addresses(&self) -> &Addresses {
        &self.inner.addresses
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn keeper(&self) -> &Keeper {
        &self.inner.keeper
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    pub(crate) fn fold(&self) -> &Fold {
        &self.inner.fold
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.inner.space
    }

    pub(crate) fn in_flight(&self) -> Arc<Semaphore> {
        self.inner.in_flight.clone()
    }

    pub(crate) fn handing_over(&self) -> &AtomicU64 {
        &self.inner.handing_over
    }

    /// It cannot keep its promises any more.
    pub(crate) fn fail(&self, reason: impl std::fmt::Display) {
        self.inner.stop.fail(reason);
    }

    pub(crate) fn marked(&self) -> &Marked {
        &self.inner.marked
    }

    /// Where another node is reached, as far as that is known; empty otherwise.
    pub(crate) fn known_address(&self, node_id: u64) -> String {
        let membership = self.fold().lock().expect("no holder panics").membership.clone();
        others(self.addresses(), &membership, self.config().node_id).remove(&node_id).unwrap_or_default()
    }

    pub(crate) fn changing(&self) -> &Mutex<()> {
        &self.inner.changing
    }

    pub(crate) fn late_clock(&self) -> &LateClock {
        &self.inner.late_clock
    }

    pub(crate) fn freed(&self) -> &watch::Sender<u64> {
        &self.inner.freed
    }

    /// Changes with each call that this node refused, leading, for lack of room.
    pub(crate) fn refused_for_room(&self) -> &watch::Sender<u64> {
        &self.inner.refused_for_room
    }

    pub(crate) fn has_applied(&self, entry: Option<EntryId>) -> bool {
        self.progress().now().last >= entry
    }

    /// Why it has stopped, if it has.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.inner.stop.reason()
    }

    /// The reason behind openraft's word for it.
    pub(crate) fn stopped_by(&self, fatal: &Fatal<TypeConfig>) -> StopReason {
        self.stop_reason().unwrap_or_else(|| reason_of(fatal))
    }
}

/// Asks Raft itself: its metrics say nothing yet this early.
async fn is_only_voter(raft: &Raft, node_id: u64) -> Result<bool, StartError> {
    let only =
        move |state: &openraft::RaftState<TypeConfig>| state.membership_state.effective().voter_ids().eq([node_id]);
    raft.with_raft_state(only).await.map_err(|fatal| StartError::Raft(fatal.to_string()))
}

/// Whether it voted by the membership before the newest in the log: then it may have led while it was taken out.
async fn did_vote(raft: &Raft, node_id: u64) -> Result<bool, StartError> {
    let voted = move |state: &openraft::RaftState<TypeConfig>| {
        state.membership_state.committed().voter_ids().any(|voter| voter == node_id)
    };
    raft.with_raft_state(voted).await.map_err(|fatal| StartError::Raft(fatal.to_string()))
}

fn reason_of(fatal: &Fatal<TypeConfig>) -> StopReason {
    match fatal {
        Fatal::Stopped => StopReason::Shutdown,
        Fatal::Panicked => StopReason::Failed("raft panicked".into()),
        Fatal::StorageError(error) => StopReason::Failed(error.to_string()),
    }
}

/// Whichever fails first, Raft or the disk under it, takes the other along.
async fn supervise(raft: Raft, stop: Stop) {
    // Closed when Raft ends, whatever ends it. Its full metrics would tell, too, and wake us for every record.
    let mut until_ended = raft.server_metrics();
    loop {
        select! {
            _ = stop.stopped() => break,
            changed = until_ended.changed() => if changed.is_err() {
                match raft.metrics().borrow_watched().running_state.clone().map_err(|fatal| reason_of(&fatal)) {
                    Err(StopReason::Shutdown) => stop.shutdown(),
                    Err(StopReason::Failed(reason)) => stop.fail(reason),
                    Ok(()) => stop.fail("raft ended without a reason"),
                }
            },
        }
    }
    // It has no error to tell; see above.
    let _ = raft.shutdown().await;
}
