//! `seedlog remove`, `replace` and `transfer-leader`: who belongs to the cluster, and who leads it.

use crate::admin::say;
use crate::args::{Output, Remove, Replace, TransferLeader};
use crate::connect::{self, Found};
use crate::failure::Failure;
use seedlog_client::{GetServersResponse, Role, Server};
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn remove(args: Remove, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, members } = connect::server(&args.connection).await?;
    let servers = members.servers;
    let id = resolve(&args.server, &servers)?;
    client.remove_server(&id).await.map_err(|error| Failure::call(&addr, error))?;
    say(format, as_json(&id, &servers), format!("{} is removed\n", as_text(&id, &servers)))
}

pub async fn replace(args: Replace, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, members } = connect::server(&args.connection).await?;
    let GetServersResponse { servers, strangers } = members;
    let all = [servers, strangers].concat();
    let (voters, others): (Vec<Server>, Vec<Server>) = all.iter().cloned().partition(votes);
    let old = resolve_among(&args.old, &voters, &all)?;
    let new = resolve_among(&args.new, &others, &all)?;
    client.replace_server(&old, &new).await.map_err(|error| Failure::call(&addr, error))?;
    let shown = json!({ "old": as_json(&old, &all), "new": as_json(&new, &all) });
    say(format, shown, format!("{} votes in the place of {}\n", as_text(&new, &all), as_text(&old, &all)))
}

fn votes(server: &Server) -> bool {
    matches!(server.role(), Role::Leader | Role::Voter)
}

/// A node that lost its disk comes back under its old name: of several, the one of those that can be meant.
fn resolve_among(given: &str, meant: &[Server], all: &[Server]) -> Result<String, Failure> {
    match resolve(given, meant) {
        Err(Failure::NoSuchServer { .. }) => resolve(given, all),
        resolved => resolved,
    }
}

pub async fn transfer_leader(args: TransferLeader, format: Output) -> Result<ExitCode, Failure> {
    let Found { addr, client, members } = connect::server(&args.connection).await?;
    let servers = members.servers;
    let to = args.server.as_deref().map(|given| resolve(given, &servers)).transpose()?;
    let leader = client.transfer_leader(to.as_deref()).await.map_err(|error| Failure::call(&addr, error))?;
    match leader {
        Some(id) => say(format, as_json(&id, &servers), format!("{} leads\n", as_text(&id, &servers))),
        None => say(
            format,
            json!({ "id": null, "name": null }),
            "the leadership was handed over; `seedlog servers` shows to whom\n".to_owned(),
        ),
    }
}

/// The id of the server that is meant by an id or a name.
fn resolve(given: &str, servers: &[Server]) -> Result<String, Failure> {
    if let Some(server) = servers.iter().find(|server| server.id.eq_ignore_ascii_case(given)) {
        return Ok(server.id.clone());
    }
    let named: Vec<&Server> = servers.iter().filter(|server| server.name == given && !given.is_empty()).collect();
    match &named[..] {
        [server] => Ok(server.id.clone()),
        // The server that was asked may not have heard of it yet; the leader has.
        [] if given.len() == 16 && given.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(given.to_owned()),
        [] => {
            let known: Vec<String> = servers.iter().map(|server| as_text(&server.id, servers)).collect();
            Err(Failure::NoSuchServer { given: given.to_owned(), known: known.join(", ") })
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|server| server.id.as_str()).collect();
            Err(Failure::NameShared { given: given.to_owned(), ids: ids.join(", ") })
        }
    }
}

fn name_of<'a>(id: &str, servers: &'a [Server]) -> Option<&'a str> {
    let name = servers.iter().find(|server| server.id == id).map(|server| server.name.as_str());
    name.filter(|name| !name.is_empty())
}

fn as_text(id: &str, servers: &[Server]) -> String {
    name_of(id, servers).map_or_else(|| id.to_owned(), |name| format!("{id} ({name})"))
}

fn as_json(id: &str, servers: &[Server]) -> Value {
    json!({ "id": id, "name": name_of(id, servers) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_with_one_name_the_voter_is_replaced_and_the_other_takes_its_place() {
        let server = |id: &str, name: &str, role: Role| Server {
            id: id.into(),
            name: name.into(),
            role: role.into(),
            ..Server::default()
        };
        let voter = server("00000000000000aa", "a", Role::Voter);
        let again = server("00000000000000bb", "a", Role::Unspecified);
        let all = [voter.clone(), again.clone()];
        let meant = |given: &str, of: &Server| resolve_among(given, std::slice::from_ref(of), &all).unwrap();
        assert_eq!((meant("a", &voter), meant("a", &again)), (voter.id.clone(), again.id.clone()));
        // That it cannot be meant is the cluster's to say.
        assert_eq!(meant("00000000000000bb", &voter), again.id);
    }

    #[test]
    fn a_server_is_meant_by_its_id_or_by_a_name_that_only_it_has() {
        let server = |id: &str, name: &str| Server { id: id.into(), name: name.into(), ..Server::default() };
        let servers = [
            server("00000000000000aa", "a"),
            server("00000000000000bb", "b"),
            server("00000000000000cc", "b"),
            server("00000000000000dd", "00000000000000aa"),
            server("00000000000000ee", ""),
        ];
        let meant = |given: &str| resolve(given, &servers).map_err(|failure| failure.to_string());
        assert_eq!(meant("a"), Ok("00000000000000aa".into()));
        assert_eq!(meant("00000000000000AA"), Ok("00000000000000aa".into()));
        assert_eq!(meant("00000000000000ff"), Ok("00000000000000ff".into()));
        let shared = meant("b").unwrap_err();
        assert!(shared.contains("00000000000000bb, 00000000000000cc"), "{shared}");
        for unknown in ["c", "", "aa"] {
            let error = meant(unknown).unwrap_err();
            assert!(error.contains(&format!("{unknown:?}")) && error.contains("00000000000000aa (a)"), "{error}");
        }
    }
}
