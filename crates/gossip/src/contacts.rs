//! The addresses to join, and whom we ask who they are. When to ask, and what was answered; the asking is
//! the task's.

use crate::tuning;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use seedlog_runtime::clock::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Questions whose answers are still understood.
const ASKED_MAX: usize = 1024;

/// What came of an address to join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// What the name stands for, and which node answered there last.
    pub found: BTreeMap<SocketAddr, Option<u64>>,
    /// Why the name could not be resolved when that was last tried.
    pub error: Option<String>,
}

impl Contact {
    /// Somebody answered at every address that the name stands for.
    pub fn answered(&self) -> bool {
        self.error.is_none() && !self.found.is_empty() && self.found.values().all(Option::is_some)
    }
}

pub struct Contacts {
    targets: BTreeMap<String, Target>,
    asked: BTreeMap<u64, (Option<String>, SocketAddr)>,
    probe_interval: Duration,
    rng: ChaCha12Rng,
}

struct Target {
    due: Instant,
    backoff: Duration,
}

/// How much there is to win by asking an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It did not answer yet, or nobody is there any more.
    High,
    /// It answered, but somebody is missing: perhaps it knows.
    Low,
    None,
}

impl Contacts {
    pub fn new(addresses: &[String], probe_interval: Duration, rng: ChaCha12Rng, now: Instant) -> Contacts {
        let backoff = tuning::contact_min(probe_interval);
        let targets = addresses.iter().map(|address| (address.clone(), Target { due: now, backoff })).collect();
        Contacts { targets, asked: BTreeMap::new(), probe_interval, rng }
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.targets.values().map(|target| target.due).min()
    }

    /// The addresses to resolve and to ask now.
    pub fn due(&mut self, urgency: impl Fn(&str) -> Urgency, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (address, target) in self.targets.iter_mut().filter(|(_, target)| target.due <= now) {
            let urgency = urgency(address);
            if urgency != Urgency::None {
                due.push(address.clone());
            }
            let wait = match urgency {
                Urgency::High => target.backoff,
                Urgency::Low | Urgency::None => tuning::contact_again(self.probe_interval),
            };
            target.backoff = (target.backoff * 2).min(tuning::contact_max(self.probe_interval));
            target.due = now + wait.mul_f64(self.rng.random_range(0.8..1.2));
        }
        due
    }

    /// Everyone is gone: ask again, soon.
    pub fn isolated(&mut self, now: Instant) {
        for target in self.targets.values_mut() {
            let backoff = tuning::contact_min(self.probe_interval);
            *target = Target { due: now + backoff.mul_f64(self.rng.random_range(0.0..1.0)), backoff };
        }
    }

    /// A number that the answer from `addr` will carry; `join` is the address to join that led there.
    pub fn ask(&mut self, join: Option<String>, addr: SocketAddr) -> u64 {
        let nonce = self.rng.random();
        self.asked.insert(nonce, (join, addr));
        if self.asked.len() > ASKED_MAX {
            // Any: the numbers are random, and so is which goes.
            self.asked.pop_first();
        }
        nonce
    }

    /// What was asked with this number.
    pub fn answer(&mut self, nonce: u64) -> Option<(Option<String>, SocketAddr)> {
        self.asked.remove(&nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_runtime::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn contacts(addresses: &[&str], now: Instant) -> Contacts {
        let addresses: Vec<String> = addresses.iter().map(|address| address.to_string()).collect();
        Contacts::new(&addresses, SECOND, seedlog_runtime::rng::keyed(7, &[]), now)
    }

    /// The seconds, rounded, at which "a:1" is asked within two minutes.
    fn asked(contacts: &mut Contacts, urgency: Urgency, mut now: Instant) -> Vec<u64> {
        let (start, mut asked) = (now, Vec::new());
        while now - start < 60 * SECOND {
            if !contacts.due(|_| urgency, now).is_empty() {
                asked.push((now - start).as_secs());
            }
            now = contacts.next_due().unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn an_address_is_asked_at_once_then_ever_more_rarely_and_never_given_up() {
        let now = clock::now();
        let mut contacts = contacts(&["a:1"], now);
        let asked = asked(&mut contacts, Urgency::High, now);
        assert_eq!(asked[0], 0);
        assert!((12..=20).contains(&asked.len()), "{asked:?}");
    }

    #[tokio::test]
    async fn who_answered_is_asked_again_only_while_somebody_is_missing_and_soon_if_everyone_is() {
        let now = clock::now();
        let mut contacts = contacts(&["a:1"], now);
        assert_eq!(asked(&mut contacts, Urgency::None, now), [0; 0]);
        let later = contacts.next_due().unwrap();
        assert!((3..=6).contains(&asked(&mut contacts, Urgency::Low, later).len()));
        let alone = contacts.next_due().unwrap();
        contacts.isolated(alone);
        assert!(contacts.next_due().unwrap() <= alone + SECOND / 2);
    }

    #[tokio::test]
    async fn an_answer_counts_once_and_only_if_it_was_asked_for() {
        let mut contacts = contacts(&[], clock::now());
        let addr = "10.0.0.1:8401".parse().unwrap();
        let nonce = contacts.ask(Some("a:1".into()), addr);
        assert_eq!(contacts.answer(nonce.wrapping_add(1)), None);
        assert_eq!(contacts.answer(nonce), Some((Some("a:1".into()), addr)));
        assert_eq!(contacts.answer(nonce), None);
        for _ in 0..2 * ASKED_MAX {
            contacts.ask(None, addr);
        }
        assert_eq!(contacts.asked.len(), ASKED_MAX);
    }

    #[tokio::test]
    async fn an_address_has_answered_when_all_that_it_stands_for_have() {
        let (one, two) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap());
        let mut contact = Contact::default();
        assert!(!contact.answered());
        contact.found = [(one, Some(1)), (two, None)].into();
        assert!(!contact.answered());
        contact.found.insert(two, Some(2));
        assert!(contact.answered());
        contact.error = Some("no such name".into());
        assert!(!contact.answered());
    }
}
