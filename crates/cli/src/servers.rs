//! `seedlog servers`: who belongs to the cluster, who leads, and how far behind the others are.

use crate::args::{Connection, Output, Servers};
use crate::connect;
use crate::failure::Failure;
use crate::output;
use crate::table::table;
use seedlog_client::{Client, Options, Role, Server};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The leader is only asked to say more than is known already.
const LEADER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(args: Servers, format: Output) -> Result<ExitCode, Failure> {
    let servers = listed(&args.connection).await?;
    match format {
        Output::Text => output::bytes(shown(&servers).as_bytes()),
        Output::Json => output::json(&servers.iter().map(|server| as_json(server, &servers)).collect::<Vec<_>>()),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

/// What the first server that answers knows, and what the leader says beside it if that is another one that can be
/// reached from here.
pub async fn listed(connection: &Connection) -> Result<Vec<Server>, Failure> {
    let mut servers = connect::server(connection).await?.members.servers;
    let leader = servers.iter().find(|server| server.is_leader && !answers(server) && !server.rpc_addr.is_empty());
    if let Some(leader) = leader {
        let options = Options { answer_max: LEADER_ANSWERS_WITHIN, ..Options::default() };
        // It may be gone, or its address be one for its peers only.
        if let Ok(client) = Client::connect_with(&leader.rpc_addr, options)
            && let Ok(told) = client.servers().await
        {
            complete(&mut servers, &told);
        }
    }
    Ok(servers)
}

/// Who is there stays as it was: only what was not known is taken from the leader.
fn complete(servers: &mut [Server], told: &[Server]) {
    // Who answers at the leader's address may not lead any more, or be somebody else.
    if !told.iter().any(|server| server.is_leader && answers(server)) {
        return;
    }
    for server in servers {
        let Some(told) = told.iter().find(|told| told.id == server.id && told.cluster_id == server.cluster_id) else {
            continue;
        };
        if answers(told) && !answers(server) {
            server.clone_from(told);
        }
        server.matched_index = told.matched_index;
    }
}

/// It was asked itself: only then are its own numbers known.
pub fn answers(server: &Server) -> bool {
    !server.version.is_empty()
}

pub fn role(server: &Server) -> &'static str {
    match server.role() {
        // A node that does not know yet that it is a member.
        Role::Unspecified if answers(server) => "starting",
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::Unspecified => "unknown",
    }
}

/// How many entries of the leader's log it does not have, as far as the leader knows.
pub fn lag(server: &Server, servers: &[Server]) -> Option<u64> {
    let leader = servers.iter().find(|server| server.is_leader && answers(server))?;
    if server.id == leader.id {
        return Some(0);
    }
    server.matched_index.map(|matched| leader.last_index.saturating_sub(matched))
}

pub fn lag_shown(server: &Server, servers: &[Server]) -> String {
    lag(server, servers).map_or_else(|| "-".to_owned(), |lag| lag.to_string())
}

/// A node need not have one.
pub fn name_shown(server: &Server) -> String {
    if server.name.is_empty() { "-".to_owned() } else { server.name.clone() }
}

fn shown(servers: &[Server]) -> String {
    let row = |server: &Server| {
        [
            server.id.clone(),
            name_shown(server),
            role(server).to_owned(),
            server.rpc_addr.clone(),
            lag_shown(server, servers),
        ]
    };
    table(["ID", "NAME", "ROLE", "ADDRESS", "LAG"], &servers.iter().map(row).collect::<Vec<_>>())
}

/// Null is what nobody said.
fn as_json(server: &Server, servers: &[Server]) -> Value {
    json!({
        "id": server.id,
        "name": server.name,
        "rpc_addr": server.rpc_addr,
        "is_leader": server.is_leader,
        "role": role(server),
        "matched_index": server.matched_index,
        "lag": lag(server, servers),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn server(id: &str, role: Role, own: bool) -> Server {
        Server {
            id: id.to_owned(),
            name: format!("node-{id}"),
            rpc_addr: format!("10.0.0.{id}:8400"),
            is_leader: role == Role::Leader,
            role: role.into(),
            version: if own { "0.1.0".to_owned() } else { String::new() },
            last_index: if own { 9 } else { 0 },
            ..Server::default()
        }
    }

    fn behind(server: Server, matched_index: u64) -> Server {
        Server { matched_index: Some(matched_index), ..server }
    }

    #[test]
    fn a_node_that_knows_no_role_of_its_own_is_starting() {
        assert_eq!(role(&server("1", Role::Unspecified, true)), "starting");
        assert_eq!(role(&server("1", Role::Unspecified, false)), "unknown");
    }

    #[test]
    fn the_leader_says_how_far_behind_the_others_are() {
        let servers = [
            server("1", Role::Leader, true),
            behind(server("2", Role::Voter, false), 7),
            server("3", Role::Learner, false),
        ];
        let wanted = "\
ID  NAME    ROLE     ADDRESS        LAG
1   node-1  leader   10.0.0.1:8400  0
2   node-2  voter    10.0.0.2:8400  2
3   node-3  learner  10.0.0.3:8400  -
";
        assert_eq!(shown(&servers), wanted);
        let second = as_json(&servers[1], &servers);
        assert_eq!((&second["lag"], &second["matched_index"]), (&json!(2), &json!(7)));
    }

    #[test]
    fn a_follower_is_completed_by_its_leader_and_by_nobody_else() {
        let asked = || vec![server("1", Role::Leader, false), server("2", Role::Voter, true)];
        let told = [server("1", Role::Leader, true), behind(server("2", Role::Voter, false), 8)];
        let mut servers = asked();
        complete(&mut servers, &told);
        assert_eq!(servers, [told[0].clone(), behind(server("2", Role::Voter, true), 8)]);
        assert_eq!(lag(&servers[1], &servers), Some(1));

        let deposed = [server("1", Role::Voter, true), behind(server("2", Role::Leader, false), 8)];
        let elsewhere = told.map(|server| Server { cluster_id: "other".into(), ..server });
        for told in [&deposed[..], &elsewhere, &[]] {
            let mut servers = asked();
            complete(&mut servers, told);
            assert_eq!(servers, asked());
        }
    }
}
