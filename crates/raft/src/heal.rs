//! Damage in a log that is in use is put right from what others have, while the node goes on.
//!
//! ```text
//! a read, the scrub ──> Healer ──> examine ──> what is lost, of what is committed ──> raft.v1 Entries, of each peer in turn
//!        ▲                                                                               │ copies
//!        └──── reads again <── writer: adopt <── the segment, made anew beside the old one <──┘
//! ```
//! Whoever reads what is lost waits meanwhile; nobody is given anything else in its place.

use crate::addresses::Addresses;
use crate::machine::Fold;
use crate::peer::{Asked, Peers, understand, why_not};
use crate::repair::others;
use crate::stop::Stop;
use crate::store::Held;
use crate::writer::{Queue, Request};
use seedlog_log::{Ailing, Entry, Examined, Keeper, OpenError, Remade};
use seedlog_runtime::{blocking, clock, select, watch};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What was put right so far in this process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Healed {
    pub segments: u64,
    /// That others gave; what was left is not counted.
    pub entries: u64,
    /// How often it was given up to have back what is lost, since nobody has it. Whoever reads there next tries again.
    pub given_up: u64,
}

struct Ask {
    index: u64,
    /// Why not, if it never will be.
    answer: oneshot::Sender<Result<(), String>>,
}

/// How long it is waited that this node trims, too, what others have trimmed. Then it stops: its start can do without.
const TRIMMED_MAX: Duration = Duration::from_secs(5);

/// Whom to tell of damage.
#[derive(Clone)]
pub struct Healer {
    asks: mpsc::UnboundedSender<Ask>,
    seen: Arc<Seen>,
}

struct Seen {
    healed: watch::Sender<Healed>,
    /// Since when something is found to be lost that is not back yet.
    ailing: watch::Sender<Option<clock::Instant>>,
}

/// What the healing works with.
pub struct Parts {
    pub keeper: Keeper,
    pub queue: Queue,
    pub held: Arc<Held>,
    pub peers: Peers,
    pub addresses: Addresses,
    pub node_id: u64,
    /// Between two questions to the same node.
    pub pause: Duration,
    pub stop: Stop,
}

/// Who heals, before it is known whose membership it goes by.
pub struct Healing {
    parts: Parts,
    asks: mpsc::UnboundedReceiver<Ask>,
    seen: Arc<Seen>,
    /// The first segment that the next start is told to look at.
    suspected: Option<u64>,
    /// Something is damaged that only a start can do without.
    lost: bool,
}

/// Something that somebody could not read.
struct Case {
    index: u64,
    /// Committed entries: what they are does not change any more.
    copies: BTreeMap<u64, Entry>,
    turn: usize,
    /// Since when others say that they have trimmed it.
    trimmed: Option<clock::Instant>,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    said: String,
}

enum Attempt {
    Healed,
    /// And what it waits for.
    Waits(String),
    Never(String),
}

pub fn healing(parts: Parts) -> (Healer, Healing) {
    let (asks, receiver) = mpsc::unbounded_channel();
    let seen = Arc::new(Seen { healed: watch::channel(Healed::default()).0, ailing: watch::channel(None).0 });
    (Healer { asks, seen: seen.clone() }, Healing { parts, asks: receiver, seen, suspected: None, lost: false })
}

impl Healer {
    /// Returns when the segment that has entry `index` can be read again, as far as that can be seen; at once if
    /// nothing is wrong with it any more.
    ///
    /// # Errors
    /// Why it will not be healed, not by waiting.
    pub async fn heal(&self, index: u64) -> Result<(), String> {
        let gone = |_| "the node stops".to_owned();
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { index, answer }).map_err(|_| gone(()))?;
        answered.await.unwrap_or_else(|_| Err(gone(())))
    }

    /// As [`Healer::heal`], for who does not wait for it.
    pub fn tell(&self, index: u64) {
        // Nobody is there any more if the node stops.
        let _ = self.asks.send(Ask { index, answer: oneshot::channel().0 });
    }

    /// For a store by itself.
    #[cfg(test)]
    pub fn nobody() -> Healer {
        let seen = Seen { healed: watch::channel(Healed::default()).0, ailing: watch::channel(None).0 };
        Healer { asks: mpsc::unbounded_channel().0, seen: Arc::new(seen) }
    }

    pub fn healed(&self) -> Healed {
        *self.seen.healed.borrow()
    }

    /// Since when something is lost that is not back yet.
    pub fn ailing(&self) -> watch::Receiver<Option<clock::Instant>> {
        self.seen.ailing.subscribe()
    }
}

impl Healing {
    /// Until nobody can ask any more. `fold` tells who the others are.
    pub async fn run(mut self, fold: Fold) {
        let mut cases: Vec<Case> = Vec::new();
        loop {
            if cases.is_empty() {
                let Some(ask) = self.asks.recv().await else { return };
                admit(&mut cases, ask);
            }
            while let Ok(ask) = self.asks.try_recv() {
                admit(&mut cases, ask);
            }
            for mut case in std::mem::take(&mut cases) {
                let answer = match self.attempt(&mut case, &fold).await {
                    Attempt::Healed => Ok(()),
                    Attempt::Never(why) => Err(why),
                    Attempt::Waits(why) => {
                        if case.said != why {
                            tracing::warn!("{why}");
                            case.said = why;
                        }
                        cases.push(case);
                        continue;
                    }
                };
                for waiting in case.waiting {
                    // Who asked may have gone.
                    let _ = waiting.send(answer.clone());
                }
            }
            let ailing = !cases.is_empty();
            if !ailing {
                self.suspect_nothing().await;
            }
            self.seen.ailing.send_if_modified(|since| {
                let changes = since.is_some() != ailing;
                *since = ailing.then(|| since.unwrap_or_else(clock::now));
                changes
            });
            if ailing {
                select! {
                    () = clock::sleep(self.parts.pause) => {}
                    ask = self.asks.recv() => match ask {
                        Some(ask) => admit(&mut cases, ask),
                        None => return,
                    },
                }
            }
        }
    }

    async fn attempt(&mut self, case: &mut Case, fold: &Fold) -> Attempt {
        let (keeper, index) = (self.parts.keeper.clone(), case.index);
        match blocking(move || keeper.examine(index)).await {
            Ok(Examined::Gone) => Attempt::Healed,
            Ok(Examined::Open) => match self.ask_writer(|done| Request::Close { index, done }).await {
                // Then it can be seen what it lacks.
                Ok(()) => Attempt::Waits(format!("the segment of entry {index} is damaged, and was closed")),
                Err(error) => Attempt::Never(error.to_string()),
            },
            // With the files that are there now.
            Ok(Examined::Sound(same)) => self.adopt(same).await,
            Ok(Examined::Ailing(ailing)) => self.heal(ailing, case, fold).await,
            Err(error) => Attempt::Waits(format!("a damaged segment cannot be looked through: {error}")),
        }
    }

    async fn heal(&mut self, ailing: Box<Ailing>, case: &mut Case, fold: &Fold) -> Attempt {
        let store = ailing.store();
        let damaged = format!("{} is damaged", store.display());
        let last = ailing.end() - 1;
        let committed = self.parts.held.committed().map(|committed| committed.index);
        if committed < Some(last) {
            // Until then it may be cut.
            return Attempt::Waits(format!("{damaged}, and entry {last}, its last, is not committed yet"));
        }
        let membership = fold.lock().expect("no holder panics").membership.clone();
        let others = others(&self.parts.addresses, &membership, self.parts.node_id);
        let missing = ailing.missing();
        let is_missing = |index: &u64| missing.iter().any(|gap| (gap.from..gap.to).contains(index));
        case.copies.retain(|index, _| is_missing(index));
        for gap in &missing {
            let (mut from, mut before) = (gap.from, gap.before);
            while from < gap.to {
                if let Some(copy) = case.copies.get(&from) {
                    (from, before) = (from + 1, Some(copy.id));
                    continue;
                }
                let asked = Asked { entries: from..gap.to, before, then: gap.then, committed: true };
                let about = format!("{damaged}, and lacks entries {from}..{}", gap.to);
                if !others.is_empty() {
                    self.suspect(ailing.first_index()).await;
                }
                match self.fetch(&asked, &others, case).await {
                    Ok(entries) => case.copies.extend(entries.into_iter().map(|entry| (entry.id.index, entry))),
                    Err(_) if others.is_empty() => {
                        self.gave_up();
                        return Attempt::Never(format!("{about}; there is no other node to have them from"));
                    }
                    Err(said) if case.trimmed.is_some_and(|since| since.elapsed() > TRIMMED_MAX) => {
                        self.lost = true;
                        self.gave_up();
                        let why = format!("{about}{said}; it will start without them");
                        // If it led, it has had the time to hand over.
                        self.parts.stop.fail(&why);
                        return Attempt::Never(why);
                    }
                    Err(said) => return Attempt::Waits(format!("{about}{said}")),
                }
            }
        }
        let copies = std::mem::take(&mut case.copies);
        let entries = copies.len() as u64;
        let (remade, copies) = blocking(move || (ailing.remake(&copies), copies)).await;
        match remade {
            Ok(remade) => {
                let adopted = self.adopt(remade).await;
                if matches!(adopted, Attempt::Healed) {
                    tracing::info!(store = %store.display(), entries, "a damaged segment is whole again");
                    self.seen.healed.send_modify(|healed| {
                        healed.segments += 1;
                        healed.entries += entries;
                    });
                }
                adopted
            }
            Err(bad @ OpenError::BadCopy { .. }) => {
                tracing::error!(%bad, "another node's entries are not used");
                case.turn += 1;
                Attempt::Waits(format!("{damaged}: {bad}"))
            }
            Err(error) => {
                case.copies = copies;
                Attempt::Waits(format!("{damaged}, and cannot be written anew: {error}"))
            }
        }
    }

    fn gave_up(&self) {
        self.seen.healed.send_modify(|healed| healed.given_up += 1);
    }

    /// Should the node go down before it is whole again, a start has to look there.
    async fn suspect(&mut self, first_index: u64) {
        if self.suspected.is_some_and(|suspected| suspected <= first_index) {
            return;
        }
        self.suspected = Some(first_index);
        let keeper = self.parts.keeper.clone();
        if let Err(error) = blocking(move || keeper.suspect(Some(first_index))).await {
            tracing::warn!(%error, "it cannot be noted for the next start that a segment is damaged");
        }
    }

    async fn suspect_nothing(&mut self) {
        if self.lost || self.suspected.take().is_none() {
            return;
        }
        let keeper = self.parts.keeper.clone();
        if let Err(error) = blocking(move || keeper.suspect(None)).await {
            tracing::warn!(%error, "the next start will look for damage that is not there any more");
        }
    }

    /// Asks each of the others once.
    ///
    /// # Errors
    /// What they said.
    async fn fetch(
        &self,
        asked: &Asked,
        others: &BTreeMap<u64, String>,
        case: &mut Case,
    ) -> Result<Vec<Entry>, String> {
        let mut said = String::new();
        for _ in 0..others.len() {
            let (node_id, known) = others.iter().nth(case.turn % others.len()).expect("it is one of them");
            let why = match self.parts.peers.entries(*node_id, known, asked).await {
                Ok(response) if !response.checkpoint.is_empty() => {
                    // So will this node, unless it needs them to come to that.
                    case.trimmed.get_or_insert_with(clock::now);
                    "it has trimmed them".to_owned()
                }
                Ok(response) => match understand(response, asked) {
                    Ok(entries) => return Ok(entries),
                    Err(why) => why,
                },
                Err(status) => why_not(&status),
            };
            said.push_str(&format!("; node {node_id:016x} says: {why}"));
            case.turn += 1;
        }
        Err(said)
    }

    async fn adopt(&self, remade: Box<Remade>) -> Attempt {
        match self.ask_writer(|done| Request::Adopt { remade, done }).await {
            Ok(true) => Attempt::Healed,
            Ok(false) => Attempt::Waits("a damaged segment was cut meanwhile".to_owned()),
            Err(error) => Attempt::Never(error.to_string()),
        }
    }

    async fn ask_writer<T>(&self, request: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Request) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let ended = || io::Error::other("the log's writer has ended");
        self.parts.queue.send(request(done)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn admit(cases: &mut Vec<Case>, Ask { index, answer }: Ask) {
    match cases.iter_mut().find(|case| case.index == index) {
        Some(case) => case.waiting.push(answer),
        None => cases.push(Case {
            index,
            copies: BTreeMap::new(),
            turn: 0,
            trimmed: None,
            waiting: vec![answer],
            said: String::new(),
        }),
    }
}
