//! A node: a log, the Raft over it, and the tasks that keep them.

use crate::addresses::Addresses;
use crate::applied::Progress;
use crate::error::{NotReady, StartError};
use crate::late_clock::LateClock;
use crate::machine::Machine;
use crate::pace::Pace;
use crate::peer::{Forwarder, Peers};
use crate::settings::NodeConfig;
use crate::space::Space;
use crate::status::{self, Status};
use crate::stop::{Stop, StopReason};
use crate::store::{Held, Store};
use crate::tail::Tail;
use crate::trim;
use crate::types::{self, Peer, Raft, TypeConfig};
use crate::vote::VoteFile;
use crate::writer::{self, Parts, Queue, Request};
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use openraft::type_config::alias::WatchReceiverOf;
use rand::Rng as _;
use seedlog_log::{EntryId, Identity};
use seedlog_runtime::disk::Disk;
use seedlog_runtime::{blocking, clock, select, spawn, watch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
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
    queue: Queue,
    progress: Progress,
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
    pace: Pace,
    pristine: bool,
}

impl Node {
    /// Opens the log in `group_dir` and starts Raft over it. With `config.bootstrap`, and nothing
    /// there yet, the node becomes the only voter of a new cluster.
    ///
    /// # Errors
    /// If the log is damaged or cannot be opened, naming the place; nothing has been changed then.
    pub async fn start(disk: Arc<dyn Disk>, group_dir: PathBuf, config: NodeConfig) -> Result<Node, StartError> {
        let openraft_config = Arc::new(config.openraft().map_err(StartError::Config)?);
        let mut log_config = config.log.clone();
        if log_config.salt == 0 {
            log_config.salt = seedlog_runtime::rng("log salt").next_u64();
        }
        let owner = Identity { cluster_id: config.cluster_id, node_id: config.node_id };
        log_config.owner = owner;
        let vote_file = VoteFile::new(disk.clone(), &group_dir, owner);
        let (opened, vote) = {
            let (disk, dir, vote_file) = (disk.clone(), group_dir.clone(), vote_file.clone());
            blocking(move || {
                let vote = vote_file.read()?;
                // A node that has voted had a log, if only an empty one.
                log_config.create &= vote.is_none();
                let opened = seedlog_log::open(disk, &dir, log_config)?;
                // The first entry of a cluster has term 0 and comes before any vote; all others after one.
                if vote.is_none() && opened.recovered.last.is_some_and(|last| last.term > 0) {
                    return Err(StartError::Open(vote_file.lost()));
                }
                Ok::<_, StartError>((opened, vote))
            })
            .await?
        };
        let recovered = opened.recovered;
        if let Some(torn) = &recovered.torn {
            tracing::warn!(%torn, "an unfinished last write was cut");
        }

        let pace = Pace::measure(disk.clone(), &group_dir, config.heartbeat).await;
        let stop = Stop::new();
        let space = Arc::new(Space::new(disk, group_dir, config.reserve_bytes));
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
        let store = Store::new(held, queue.clone(), reader);
        let progress = Progress::new((&recovered.checkpoint).into());
        let machine = Machine::new(recovered.checkpoint, start, store.clone(), progress.clone());
        let addresses = Addresses::default();
        let peers = Peers::new(owner, addresses.clone(), config.patience());
        let forwarder = Forwarder::new(peers.clone(), config.answer_max);
        let raft = Raft::new(config.node_id, openraft_config, peers.clone(), store.clone(), machine).await;
        let raft = raft.map_err(|fatal| StartError::Raft(fatal.to_string()))?;

        let mut pristine = recovered.last.is_none() && vote.is_none();
        if pristine && config.bootstrap {
            let me = Peer { name: config.node_name.clone(), rpc_addr: config.rpc_addr.clone() };
            let initialized = raft.initialize(BTreeMap::from([(config.node_id, me)])).await;
            initialized.map_err(|error| StartError::Raft(error.to_string()))?;
            pristine = false;
        } else if is_only_voter(&raft, config.node_id).await? {
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
            queue,
            progress,
            space,
            in_flight,
            freed,
            refused_for_room: watch::channel(0).0,
            quiet: watch::channel(false).0,
            stop,
            late_clock,
            changing: Mutex::new(()),
            pace,
            pristine,
        };
        let node = Node { inner: Arc::new(inner) };
        drop(spawn(crate::retention::follow(node.clone())));
        drop(spawn(crate::handover::follow(node.clone())));
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

    pub(crate) fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.inner.space
    }

    pub(crate) fn in_flight(&self) -> Arc<Semaphore> {
        self.inner.in_flight.clone()
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
