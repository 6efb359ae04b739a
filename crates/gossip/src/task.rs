//! The one task that holds foca: takes commands, datagrams, resolved names and timers, one at a time.

use crate::config::Config;
use crate::contacts::{Contact, Contacts, Urgency};
use crate::counters::Counting;
use crate::identity::Identity;
use crate::members::{Known, Members, State};
use crate::outbox::Outbox;
use crate::timers::Timers;
use crate::wire::Packet;
use crate::{reader, tuning};
use foca::{Foca, NoCustomBroadcast, PostcardCodec};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::clock::{self, Instant};
use seedlog_runtime::udp::Socket;
use seedlog_runtime::{rng, watch};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// So many datagrams in a row before the timers are looked at all the same.
const DATAGRAMS_IN_A_ROW_MAX: u32 = 64;
const RESOLVE_MAX: Duration = Duration::from_secs(5);
/// So many of the dead are asked at a time.
const DEAD_ASKED: usize = 3;
/// A farewell is said so often, by way of a few members each time.
const FAREWELLS: u32 = 3;

pub enum Command {
    SetClusterId(u128),
    SetJoining(bool),
    SetRpcAddr(String),
    Leave,
    Stop,
}

enum Timer {
    Foca(foca::Timer<Identity>),
    AskTheDead,
}

/// What a join address stands for.
type Resolved = (String, Result<Vec<SocketAddr>, String>);

enum Event {
    /// `None`: the last handle is gone.
    Command(Option<Command>),
    Resolved(Resolved),
    Datagram(reader::Datagram),
    Time,
}

pub struct Task {
    socket: Arc<Socket>,
    pub(crate) foca: Foca<Identity, PostcardCodec, ChaCha12Rng, NoCustomBroadcast>,
    pub(crate) outbox: Outbox,
    pub(crate) members: Members,
    pub(crate) contacts: Contacts,
    pub(crate) counting: Arc<Counting>,
    timers: Timers<Timer>,
    publish: watch::Sender<Arc<Members>>,
    resolved: mpsc::UnboundedSender<Resolved>,
    resolving: Option<mpsc::UnboundedReceiver<Resolved>>,
    rng: ChaCha12Rng,
    probe_interval: Duration,
    remember: Duration,
    remembered_max: usize,
    renewed: Option<Instant>,
}

impl Task {
    pub fn new(
        socket: Arc<Socket>,
        identity: Identity,
        config: Config,
        counting: Arc<Counting>,
    ) -> (Task, watch::Receiver<Arc<Members>>) {
        let Config { me, join, probe_interval, remember, remembered_max } = config;
        let now = clock::now();
        let mut members = Members::new(me, now);
        members.join = join.iter().map(|address| (address.clone(), Contact::default())).collect();
        let (publish, watched) = watch::channel(Arc::new(members.clone()));
        let (resolved, resolving) = mpsc::unbounded_channel();
        let mut timers = Timers::new();
        timers.add(now + tuning::ask_the_dead(probe_interval), Timer::AskTheDead);
        let task = Task {
            socket,
            foca: Foca::new(identity, tuning::foca(probe_interval), rng("gossip"), PostcardCodec),
            outbox: Outbox::default(),
            members,
            contacts: Contacts::new(&join, probe_interval, rng("gossip contacts"), now),
            counting,
            timers,
            publish,
            resolved,
            resolving: Some(resolving),
            rng: rng("gossip dead"),
            probe_interval,
            remember,
            remembered_max,
            renewed: None,
        };
        (task, watched)
    }

    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let (to_task, mut datagrams) = mpsc::channel(reader::WAITING_MAX);
        let reader = seedlog_runtime::spawn(reader::read(self.socket.clone(), to_task));
        let mut resolving = self.resolving.take().expect("it runs once");
        let mut in_a_row = 0;
        loop {
            let due = self.next_due();
            // What has come is heard before anyone is suspected for not having sent it.
            let event = seedlog_runtime::select! {
                command = commands.recv() => Event::Command(command),
                Some(resolved) = resolving.recv() => Event::Resolved(resolved),
                Some(datagram) = datagrams.recv() => Event::Datagram(datagram),
                () = clock::sleep_until(due) => Event::Time,
            };
            in_a_row = if matches!(event, Event::Datagram(_)) { in_a_row + 1 } else { 0 };
            match event {
                Event::Command(Some(Command::SetClusterId(cluster_id))) => {
                    self.change(|member| member.cluster_id = cluster_id);
                }
                Event::Command(Some(Command::SetJoining(joining))) => self.change(|member| member.joining = joining),
                Event::Command(Some(Command::SetRpcAddr(rpc_addr))) => self.change(|member| member.rpc_addr = rpc_addr),
                Event::Command(Some(Command::Leave)) => {
                    self.say_goodbye().await;
                    break;
                }
                Event::Command(Some(Command::Stop) | None) => break,
                Event::Resolved((address, found)) => self.ask_to_join(address, found),
                Event::Datagram((bytes, from)) => self.receive(&bytes, from),
                Event::Time => self.timers_due(),
            }
            if in_a_row >= DATAGRAMS_IN_A_ROW_MAX {
                in_a_row = 0;
                self.timers_due();
            }
            self.take_in();
            self.flush().await;
        }
        // Whoever waits for the end sees it when the port is free.
        drop(datagrams);
        let _ = reader.await;
        let Task { socket, publish, .. } = self;
        drop(socket);
        drop(publish);
    }

    fn next_due(&self) -> Instant {
        let timer = self.timers.next_due().expect("the dead are asked for ever");
        self.contacts.next_due().map_or(timer, |contact| contact.min(timer))
    }

    fn timers_due(&mut self) {
        let now = clock::now();
        let late = self.timers.next_due().map_or(Duration::ZERO, |due| now - due);
        if late > tuning::stall(self.probe_interval) {
            // Not the others were silent, we were away: nothing that ran out meanwhile says anything. What
            // they sent waits in the socket, and is heard first.
            tracing::warn!(?late, "gossip was held up; everyone gets that much more time");
            self.counting.stalled.up();
            self.timers.postpone(late + tuning::probe_timeout(self.probe_interval));
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Foca(timer) => {
                    if let Err(error) = self.foca.handle_timer(timer, &mut self.outbox) {
                        tracing::warn!(%error, "a timer of gossip's failed");
                    }
                }
                Timer::AskTheDead => self.ask_the_dead(now),
            }
        }
        let (alone, dead) = (self.members.is_alone(), self.members.dead().next().is_some());
        let urgency = |address: &str| match &self.members.join[address] {
            contact if alone || !contact.answered() => Urgency::High,
            _ if dead => Urgency::Low,
            _ => Urgency::None,
        };
        for address in self.contacts.due(urgency, now) {
            let resolved = self.resolved.clone();
            seedlog_runtime::spawn(async move {
                let found = match clock::timeout(RESOLVE_MAX, seedlog_runtime::resolve(&address)).await {
                    Ok(found) => found.map_err(|error| error.to_string()),
                    Err(elapsed) => Err(elapsed.to_string()),
                };
                let _ = resolved.send((address, found));
            });
        }
    }

    /// Whoever was dead may be back, or the network between us: foca does not ask, and nobody would.
    fn ask_the_dead(&mut self, now: Instant) {
        let mut dead: Vec<SocketAddr> = self.members.dead().map(|known| known.member.gossip_addr).collect();
        for _ in 0..DEAD_ASKED.min(dead.len()) {
            let addr = dead.swap_remove(self.rng.random_range(0..dead.len()));
            let nonce = self.contacts.ask(None, addr);
            self.send(addr, &Packet::Hello { nonce });
        }
        if self.members.forget(self.remember, self.remembered_max, now) {
            self.publish();
        }
        let wait = tuning::ask_the_dead(self.probe_interval).mul_f64(self.rng.random_range(0.8..1.2));
        self.timers.add(now + wait, Timer::AskTheDead);
    }

    fn ask_to_join(&mut self, address: String, found: Result<Vec<SocketAddr>, String>) {
        let contact = self.members.join.get_mut(&address).expect("only what is to be joined is resolved");
        let before = contact.clone();
        match found {
            Ok(found) => {
                contact.error = None;
                contact.found =
                    found.into_iter().map(|addr| (addr, contact.found.get(&addr).copied().flatten())).collect();
            }
            // The addresses of before may still be right.
            Err(error) => contact.error = Some(error),
        }
        let found: Vec<SocketAddr> = contact.found.keys().copied().collect();
        if *contact != before {
            if let Some(error) = &contact.error {
                tracing::warn!(%address, %error, "an address to join does not resolve; it is tried again");
            }
            self.publish();
        }
        for addr in found {
            let nonce = self.contacts.ask(Some(address.clone()), addr);
            self.send(addr, &Packet::Hello { nonce });
        }
    }

    /// This node's data change: a newer identity, which the others take in the old one's place.
    fn change(&mut self, change: impl FnOnce(&mut crate::Member)) {
        let mut identity = self.foca.identity().above(0);
        change(&mut identity.member);
        if identity.member != self.members.me {
            self.become_identity(identity);
        }
    }

    /// Somebody knows of an identity of this node, or at its address, that is newer than its own.
    pub(crate) fn renew_above(&mut self, incarnation: u64) {
        // Two nodes with one id would outdo each other as fast as the network allows.
        let now = clock::now();
        if self.renewed.is_some_and(|renewed| now - renewed < self.probe_interval / 2) {
            return;
        }
        self.renewed = Some(now);
        self.counting.renewed.up();
        tracing::info!(incarnation, "a newer life of this node is known: going above it");
        self.become_identity(self.foca.identity().above(incarnation));
    }

    fn become_identity(&mut self, identity: Identity) {
        self.members.me = identity.member.clone();
        if let Err(error) = self.foca.change_identity(identity, &mut self.outbox) {
            tracing::warn!(%error, "gossip could not change this node's identity");
        }
        self.outbox.changed = true;
        self.publish();
    }

    /// Those who hear it pass it on. Bounded: nobody is waited for.
    async fn say_goodbye(&mut self) {
        if self.members.is_alone() {
            return;
        }
        let last = Identity { leaving: true, ..self.foca.identity().above(0) };
        self.become_identity(last);
        let mut said = self.foca.leave_cluster(&mut self.outbox);
        for _ in 0..FAREWELLS {
            self.flush().await;
            clock::sleep(self.probe_interval / 10).await;
            said = said.and_then(|()| self.foca.gossip(&mut self.outbox));
        }
        self.flush().await;
        if let Err(error) = said {
            tracing::warn!(%error, "gossip could not say goodbye");
        }
    }

    /// Takes in what the last event changed.
    pub(crate) fn take_in(&mut self) {
        while std::mem::take(&mut self.outbox.changed) {
            if std::mem::take(&mut self.outbox.rejoined) {
                self.counting.renewed.up();
                tracing::info!("this node was taken for dead, and is back");
            }
            // A new identity is without connections until it looks who is there.
            if let Err(error) = self.foca.apply_many(std::iter::empty(), false, &mut self.outbox) {
                tracing::warn!(%error, "gossip could not connect again");
            }
            self.look_around();
        }
    }

    fn look_around(&mut self) {
        let (now, alone) = (clock::now(), self.members.is_alone());
        let seen = self.foca.iter_membership_state();
        let changed = self.members.see(seen.map(|seen| (seen.id(), seen.state() != foca::State::Down)), now);
        if changed.is_empty() {
            return;
        }
        for Known { member, state, .. } in changed.iter().filter_map(|node_id| self.members.get(*node_id)) {
            let (node_id, name, addr) = (member.node_id, &member.name, member.gossip_addr);
            match state {
                State::Alive => {
                    tracing::info!(node_id, %name, %addr, cluster = %format_args!("{:032x}", member.cluster_id), "member alive")
                }
                State::Left { .. } => tracing::info!(node_id, %name, %addr, "member left"),
                State::Dead { .. } => tracing::warn!(node_id, %name, %addr, "member dead"),
            }
        }
        if !alone && self.members.is_alone() {
            tracing::warn!("no other member is alive");
            self.contacts.isolated(now);
        }
        self.members.forget(self.remember, self.remembered_max, now);
        self.publish();
    }

    pub(crate) fn publish(&self) {
        self.publish.send(Arc::new(self.members.clone()));
    }

    pub(crate) fn send(&mut self, to: SocketAddr, packet: &Packet<'_>) {
        self.outbox.packets.push((to, packet.encode()));
    }

    async fn flush(&mut self) {
        let now = clock::now();
        for (after, timer) in self.outbox.timers.drain(..) {
            self.timers.add(now + after, Timer::Foca(timer));
        }
        for (to, bytes) in self.outbox.packets.drain(..) {
            match self.socket.send_to(&bytes, to).await {
                Ok(()) => self.counting.sent.up(),
                Err(error) => {
                    self.counting.send_failed.up();
                    tracing::debug!(%to, %error, "gossip could not send");
                }
            }
        }
    }
}
