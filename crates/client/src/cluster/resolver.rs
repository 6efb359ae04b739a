//! Who is in the cluster, and who leads it: asked of everybody known, again on a timer and whenever something says
//! that it may have changed.

use super::health::Health;
use super::view::View;
use super::{ClusterOptions, Picked};
use crate::client::{Client, Options};
use crate::conditions::IN_FLIGHT_MAX;
use crate::error::Error;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use seedlog_runtime::clock::Instant;
use seedlog_runtime::rpc::{BadAddress, check_address};
use seedlog_runtime::{JoinHandle, clock, watch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long one server, or one name server, may take to say who is there.
const ASK_MAX: Duration = Duration::from_secs(1);
/// Between two rounds of questions, at least: many failures at once are one reason to ask.
const ASK_PAUSE: Duration = Duration::from_millis(100);
/// And as long as nobody knows a leader.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Asks for as long as it lives.
#[derive(Debug)]
pub(crate) struct Resolver {
    shared: Arc<Shared>,
    asking: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    seeds: Vec<String>,
    options: ClusterOptions,
    view: watch::Sender<View>,
    known: Mutex<Known>,
    ask: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Known {
    health: Health,
    clients: BTreeMap<String, Client>,
    /// What the seeds' names stood for last.
    resolved: Vec<String>,
    /// Whose turn it is to be read from.
    turn: usize,
    /// The cluster that the first answer was of.
    cluster_id: Option<String>,
    /// Who is of another one, and of which.
    foreign: BTreeMap<String, String>,
    /// Why the last question had no answer.
    trouble: Option<String>,
}

impl Known {
    /// Those of the advertised addresses that can be dialled, and the seeds: where we are, the advertised ones may stand
    /// for nobody.
    fn dialled(&self, advertised: Vec<String>) -> Vec<String> {
        let mut addresses = advertised;
        addresses.retain(|address| check_address(address).is_ok());
        addresses.extend(self.resolved.iter().cloned());
        addresses.retain(|address| !self.foreign.contains_key(address));
        addresses
    }

    /// Takes an answer from `address` for one of our cluster, or does not.
    ///
    /// # Errors
    /// If it is of another one.
    fn admit(&mut self, address: &str, told: &View) -> Result<(), String> {
        // A server as old as the book's does not say.
        if told.cluster_id.is_empty() {
            return Ok(());
        }
        if *self.cluster_id.get_or_insert_with(|| told.cluster_id.clone()) == told.cluster_id {
            self.foreign.remove(address);
            return Ok(());
        }
        self.foreign.insert(address.to_owned(), told.cluster_id.clone());
        Err(self.no_server())
    }

    /// Why nobody can be asked.
    fn no_server(&self) -> String {
        let ours = self.cluster_id.as_deref().unwrap_or_default();
        let foreign: Vec<String> = self.foreign.iter().map(|(address, of)| format!("{address} is of {of}")).collect();
        if foreign.is_empty() {
            return "no server has an address that can be dialled".to_owned();
        }
        format!("another cluster answers: {}, this one is {ours}", foreign.join(", "))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Resolver {
    /// # Errors
    /// If a seed cannot be an address.
    pub fn start(seeds: Vec<String>, options: ClusterOptions) -> Result<Resolver, BadAddress> {
        for seed in &seeds {
            check_address(seed)?;
        }
        if seeds.is_empty() {
            return Err(BadAddress { address: String::new() });
        }
        let (view, known) = (watch::channel(View::default()).0, Mutex::default());
        let shared = Arc::new(Shared { seeds, options, view, known, ask: Arc::default() });
        let asking = seedlog_runtime::spawn(ask_on(shared.clone()));
        Ok(Resolver { shared, asking })
    }

    /// Whom to give records: the leader, or if it does not answer any other one, who passes them on.
    pub async fn for_produce(&self, deadline: Instant) -> Result<Picked, Error> {
        self.resolved(deadline).await?;
        self.pick(|view, _| view.addresses().cloned().collect())
    }

    /// Whom to read from: those who do not lead in turn, the leader if there are none that answer.
    pub async fn for_consume(&self, deadline: Instant) -> Result<Picked, Error> {
        self.resolved(deadline).await?;
        self.pick(|view, turn| {
            let mut addresses = view.others.clone();
            let count = addresses.len().max(1);
            addresses.rotate_left(*turn % count);
            *turn = (*turn + 1) % count;
            addresses.extend(view.leader.clone());
            addresses
        })
    }

    /// Where [`Resolver::for_produce`] would send records now.
    pub fn best_for_produce(&self) -> Option<String> {
        let known = self.shared.known();
        let addresses = known.dialled(self.shared.view.borrow().addresses().cloned().collect());
        known.health.best(&addresses, clock::now()).cloned()
    }

    /// How many addresses there are that one might try.
    pub fn count(&self) -> usize {
        let addresses = self.shared.known().dialled(self.shared.view.borrow().addresses().cloned().collect());
        addresses.into_iter().collect::<BTreeSet<_>>().len()
    }

    /// It answered as it should.
    pub fn answered(&self, address: &str) {
        self.shared.known().health.answered(address);
    }

    /// It did not: the next call goes elsewhere, and over a new connection.
    pub fn failed(&self, address: &str) {
        self.shared.failed(address);
        self.shared.ask.notify_one();
    }

    /// Returns when a leader is known.
    pub async fn resolved(&self, deadline: Instant) -> Result<(), Error> {
        let mut view = self.shared.view.subscribe();
        let patience = deadline - clock::now();
        match clock::timeout(patience, view.wait_for(|view| view.leader.is_some())).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let why = self.shared.known().trouble.clone();
                Err(Error::NoServer { why: why.unwrap_or_else(|| "none that answers knows a leader".to_owned()) })
            }
        }
    }

    /// The first that is well.
    fn pick(&self, addresses: impl FnOnce(&View, &mut usize) -> Vec<String>) -> Result<Picked, Error> {
        let mut known = self.shared.known();
        let addresses = addresses(&self.shared.view.borrow(), &mut known.turn);
        let addresses = known.dialled(addresses);
        let best = known.health.best(&addresses, clock::now()).cloned();
        let Some(address) = best else { return Err(Error::NoServer { why: known.no_server() }) };
        let client = self.shared.client(&mut known, &address);
        let client = client.map_err(|bad| Error::NoServer { why: bad.to_string() })?;
        Ok(Picked { address, client })
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, address: &str) {
        let mut known = self.known();
        known.health.failed(address, clock::now());
        known.clients.remove(address);
    }

    fn client(&self, known: &mut Known, address: &str) -> Result<Client, BadAddress> {
        if let Some(client) = known.clients.get(address) {
            return Ok(client.clone());
        }
        let ClusterOptions { try_max, tail_records_max, .. } = self.options;
        let options =
            Options { answer_max: try_max, in_flight_max: IN_FLIGHT_MAX, past_errors: false, tail_records_max };
        let client = Client::connect_with(address, options)?.with_hints(self.ask.clone());
        known.clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// Everybody: one that was cut off does not know it, and only the others' higher term tells.
    async fn ask_all(&self) {
        let resolved = self.resolve().await;
        let mut addresses: Vec<String> = self.view.borrow().addresses().cloned().collect();
        addresses.extend(resolved.iter().filter(|address| !addresses.contains(address)).cloned().collect::<Vec<_>>());
        {
            let mut known = self.known();
            known.clients.retain(|address, _| addresses.contains(address));
            known.resolved = resolved;
        }
        let ask = |address: String| async move {
            let client = self.client(&mut self.known(), &address);
            let answer = match client {
                Ok(client) => clock::timeout(ASK_MAX, client.members()).await,
                Err(bad) => return (address, Err(bad.to_string())),
            };
            let told = match answer {
                Ok(Ok(answer)) => Ok(View::told(&answer.servers)),
                Ok(Err(error)) => Err(format!("{address}: {error}")),
                Err(elapsed) => Err(format!("{address}: no answer within {:?}", elapsed.after)),
            };
            (address, told)
        };
        let mut asked: FuturesUnordered<_> = addresses.into_iter().map(ask).collect();
        while let Some((address, told)) = asked.next().await {
            match told {
                // That it answers this does not say that it can do anything else.
                Ok(Some(told)) => {
                    let admitted = self.known().admit(&address, &told);
                    if admitted.is_ok() {
                        self.view.send_if_modified(|view| view.learn(told));
                    }
                    self.known().trouble = admitted.err();
                }
                Ok(None) => self.known().trouble = Some(format!("{address} knows no leader")),
                Err(trouble) => {
                    self.failed(&address);
                    self.known().trouble = Some(trouble);
                }
            }
        }
    }

    /// What the seeds stand for now. A name that has no address now had one, perhaps.
    async fn resolve(&self) -> Vec<String> {
        let mut resolved = Vec::new();
        for seed in &self.seeds {
            match clock::timeout(ASK_MAX, seedlog_runtime::resolve(seed)).await {
                Ok(Ok(found)) => resolved.extend(found.iter().map(ToString::to_string)),
                Ok(Err(error)) => self.known().trouble = Some(format!("{seed}: {error}")),
                Err(_) => self.known().trouble = Some(format!("{seed}: the name server does not answer")),
            }
        }
        if resolved.is_empty() { self.known().resolved.clone() } else { resolved }
    }
}

async fn ask_on(shared: Arc<Shared>) {
    loop {
        shared.ask_all().await;
        let is_resolved = shared.view.borrow().leader.is_some();
        let pause = if is_resolved { shared.options.refresh_every } else { ASK_AGAIN };
        seedlog_runtime::select! {
            () = shared.ask.notified() => {}
            () = clock::sleep(pause) => {}
        }
        clock::sleep(ASK_PAUSE).await;
    }
}
