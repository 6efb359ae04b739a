//! How a node without a cluster comes to one: begins it, joins it, or waits.
//!
//! A cluster id is for ever, so nothing here is guessed: a cluster is begun only by whoever was told to, and
//! not where there may be one already.

use crate::config::Config;
use seedlog_gossip::Members;
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    Begin,
    Join(u128),
    /// For what, for people.
    Wait(String),
}

pub fn decide(config: &Config, seen: &Members) -> Formation {
    let others = || seen.others.values().filter(|known| known.is_alive()).map(|known| &known.member);
    let clusters: BTreeSet<u128> = others().map(|member| member.cluster_id).filter(|id| *id != 0).collect();
    match *Vec::from_iter(&clusters) {
        [] => {}
        [cluster_id] => return Formation::Join(*cluster_id),
        _ => {
            let named = others().filter(|member| member.cluster_id != 0);
            let named: Vec<_> = named.map(|m| format!("{} of cluster {:032x}", m.name, m.cluster_id)).collect();
            return Formation::Wait(format!("more than one cluster is here, and none is chosen: {}", named.join(", ")));
        }
    }
    if config.bootstrap {
        let silent = config.join.iter().filter(|address| !seen.join.get(*address).is_some_and(|c| c.answered()));
        let silent: Vec<&str> = silent.map(String::as_str).collect();
        if !silent.is_empty() {
            return Formation::Wait(format!("an answer from {}: a cluster there is joined", silent.join(", ")));
        }
        // Who answered is known with what it said of itself, this node apart.
        let answered = config.join.iter().filter_map(|address| seen.join.get(address)).flat_map(|c| c.found.values());
        let unknown = answered.flatten().any(|id| *id != seen.me.node_id && seen.get(*id).is_none());
        return if unknown { Formation::Wait("news of those who answered".into()) } else { Formation::Begin };
    }
    if let Some(first) = config.bootstrap_expect.first() {
        let here: BTreeSet<&str> =
            others().map(|member| member.name.as_str()).chain([config.node_name.as_str()]).collect();
        let missing = config.bootstrap_expect.iter().filter(|name| !here.contains(name.as_str()));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            return Formation::Wait(format!("{}, to begin together", missing.join(", ")));
        }
        if *first == config.node_name {
            return Formation::Begin;
        }
        return Formation::Wait(format!("{first}, who is to begin"));
    }
    Formation::Wait("a node of a cluster".into())
}

/// Whom this node has asked, and what was answered, for people: empty if nobody.
pub fn asked(config: &Config, seen: &Members) -> String {
    let answers: Vec<String> =
        config.join.iter().map(|address| format!("{address} ({})", answer(seen, address))).collect();
    if answers.is_empty() { String::new() } else { format!("; asked {}", answers.join(", ")) }
}

fn answer(seen: &Members, address: &str) -> String {
    let Some(contact) = seen.join.get(address) else { return "not yet".to_owned() };
    if let Some(error) = &contact.error {
        return format!("no such address: {error}");
    }
    // A name may stand for several.
    let mut said: Vec<String> = contact.found.values().map(|found| said(seen, *found)).collect();
    said.dedup();
    if said.is_empty() { "not yet".to_owned() } else { said.join("; ") }
}

fn said(seen: &Members, found: Option<u64>) -> String {
    match found {
        None => "no answer".to_owned(),
        Some(node_id) if node_id == seen.me.node_id => "this node itself".to_owned(),
        Some(node_id) => match seen.get(node_id) {
            None => "it answered, and has not said yet who it is".to_owned(),
            Some(known) if !known.is_alive() => format!("{}, not there any more", known.member.name),
            Some(known) if known.member.cluster_id == 0 => format!("{}, in no cluster", known.member.name),
            Some(known) => format!("{}, in cluster {:032x}", known.member.name, known.member.cluster_id),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_gossip::{Contact, Known, Member, State};
    use seedlog_runtime::clock;
    use std::collections::BTreeMap;

    fn member(node_id: u64, cluster_id: u128) -> Member {
        Member {
            node_id,
            name: format!("node-{node_id}"),
            rpc_addr: format!("10.0.0.{node_id}:8400"),
            gossip_addr: ([10, 0, 0, node_id as u8], 8401).into(),
            cluster_id,
            joining: true,
            version: String::new(),
        }
    }

    /// Node 1 sees others of these clusters; those of `silent` did not answer.
    fn seen(others: &[(u64, u128)], silent: &[u64]) -> (Config, Members) {
        let known = |(id, cluster)| Known { member: member(id, cluster), state: State::Alive, incarnation: 1 };
        let mut members = Members {
            me: member(1, 0),
            started: clock::now(),
            others: others.iter().map(|other| (other.0, known(*other))).collect(),
            join: BTreeMap::new(),
        };
        let mut config = Config::new("/data".into(), ([10, 0, 0, 1], 8400).into());
        config.node_name = "node-1".into();
        config.bootstrap = false;
        for node_id in others.iter().map(|other| other.0).chain(silent.iter().copied()) {
            let address = format!("node-{node_id}:8401");
            let answer = (!silent.contains(&node_id)).then_some(node_id);
            let found = BTreeMap::from([(member(node_id, 0).gossip_addr, answer)]);
            members.join.insert(address.clone(), Contact { found, error: None });
            config.join.push(address);
        }
        (config, members)
    }

    fn waits(config: &Config, members: &Members, what: &str) -> bool {
        matches!(decide(config, members), Formation::Wait(waited) if waited.contains(what))
    }

    #[tokio::test]
    async fn a_node_told_to_join_joins_what_there_is_and_never_begins() {
        let (config, members) = seen(&[(2, 0), (3, 0)], &[]);
        assert!(waits(&config, &members, "a node of a cluster"));
        let (mut config, members) = seen(&[(2, 0), (3, 7)], &[]);
        assert_eq!(decide(&config, &members), Formation::Join(7));
        config.bootstrap = true;
        assert_eq!(decide(&config, &members), Formation::Join(7), "told to begin, too");
    }

    #[tokio::test]
    async fn a_cluster_is_begun_only_after_everybody_answered_that_there_is_none() {
        let (mut config, members) = seen(&[], &[]);
        config.bootstrap = true;
        assert_eq!(decide(&config, &members), Formation::Begin);
        let (mut config, members) = seen(&[(2, 0), (3, 0)], &[]);
        config.bootstrap = true;
        assert_eq!(decide(&config, &members), Formation::Begin);
        let (mut config, mut members) = seen(&[(2, 0)], &[3]);
        config.bootstrap = true;
        assert!(waits(&config, &members, "node-3:8401"));
        // It answered, and what it says of itself has not come yet.
        let found = BTreeMap::from([(member(3, 0).gossip_addr, Some(3))]);
        members.join.insert("node-3:8401".into(), Contact { found, error: None });
        assert!(waits(&config, &members, "news"));
    }

    #[tokio::test]
    async fn who_was_asked_and_what_was_answered_is_said_of_each_address() {
        let (mut config, mut members) = seen(&[(2, 0), (4, 7)], &[3]);
        config.join.push("nowhere:8401".into());
        config.join.push("late:8401".into());
        let nowhere = Contact { found: BTreeMap::new(), error: Some("unknown name".into()) };
        members.join.insert("nowhere:8401".into(), nowhere);
        let found = BTreeMap::from([(member(1, 0).gossip_addr, Some(1))]);
        config.join.push("me:8401".into());
        members.join.insert("me:8401".into(), Contact { found, error: None });
        let wanted = "; asked node-2:8401 (node-2, in no cluster), node-4:8401 (node-4, in cluster \
                      00000000000000000000000000000007), node-3:8401 (no answer), nowhere:8401 (no such address: \
                      unknown name), late:8401 (not yet), me:8401 (this node itself)";
        assert_eq!(asked(&config, &members), wanted);
        config.join.clear();
        assert_eq!(asked(&config, &members), "");
    }

    #[tokio::test]
    async fn of_two_clusters_none_is_chosen() {
        let (config, members) = seen(&[(2, 8), (3, 7)], &[]);
        assert!(waits(&config, &members, "node-2 of cluster 00000000000000000000000000000008"));
    }

    #[tokio::test]
    async fn those_who_expect_each_other_begin_once_by_the_first() {
        let (mut config, members) = seen(&[(2, 0)], &[]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        config.bootstrap_expect = names(&["node-1", "node-2", "node-3"]);
        assert!(waits(&config, &members, "node-3"));
        config.bootstrap_expect = names(&["node-1", "node-2"]);
        assert_eq!(decide(&config, &members), Formation::Begin);
        config.bootstrap_expect = names(&["node-2", "node-1"]);
        assert!(waits(&config, &members, "node-2, who is to begin"));
    }
}
