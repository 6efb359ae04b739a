//! `seedlog members`: what Raft and what gossip say of every node, side by side.

use crate::args::{Members, Output};
use crate::connect;
use crate::failure::Failure;
use crate::moment::Age;
use crate::output;
use crate::servers::{name_shown, role};
use crate::table::table;
use seedlog_client::{GetServersResponse, Gossip, Liveness, Server};
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn run(args: Members, format: Output) -> Result<ExitCode, Failure> {
    let members = connect::server(&args.connection).await?.members;
    match format {
        Output::Text => output::bytes(shown(&members).as_bytes()),
        Output::Json => output::json(&rows(&members).map(|(server, role)| as_json(server, role)).collect::<Vec<_>>()),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

/// Each with its part in the cluster.
fn rows(members: &GetServersResponse) -> impl Iterator<Item = (&Server, &'static str)> {
    let servers = members.servers.iter().map(|server| (server, role(server)));
    servers.chain(members.strangers.iter().map(|stranger| (stranger, "stranger")))
}

fn shown(members: &GetServersResponse) -> String {
    let row = |(server, role): (&Server, &'static str)| {
        let gossip = server.gossip.as_ref();
        [
            server.id.clone(),
            name_shown(server),
            role.to_owned(),
            server.rpc_addr.clone(),
            gossip.map_or_else(|| "-".to_owned(), |gossip| gossip.addr.clone()),
            gossip.map_or_else(|| "-".to_owned(), state_shown),
        ]
    };
    table(["ID", "NAME", "ROLE", "ADDRESS", "GOSSIP", "STATE"], &rows(members).map(row).collect::<Vec<_>>())
}

fn state(gossip: &Gossip) -> &'static str {
    match gossip.liveness() {
        Liveness::Alive => "alive",
        Liveness::Left => "left",
        Liveness::Dead => "dead",
        Liveness::Unspecified => "unknown",
    }
}

fn state_shown(gossip: &Gossip) -> String {
    match gossip.liveness() {
        Liveness::Left | Liveness::Dead => format!("{} for {}", state(gossip), about(gossip.gone_ms)),
        Liveness::Alive | Liveness::Unspecified => state(gossip).to_owned(),
    }
}

/// In the largest unit of which it has one, rounded down.
fn about(ms: u64) -> Age {
    let unit = [86_400_000, 3_600_000, 60_000, 1000].into_iter().find(|unit| ms >= *unit).unwrap_or(1);
    Age(ms / unit * unit)
}

/// Null is what gossip does not say.
fn as_json(server: &Server, role: &str) -> Value {
    let gossip = server.gossip.as_ref();
    let gone = |gossip: &&Gossip| matches!(gossip.liveness(), Liveness::Left | Liveness::Dead);
    json!({
        "id": server.id,
        "name": server.name,
        "role": role,
        "rpc_addr": server.rpc_addr,
        "cluster_id": server.cluster_id,
        "gossip_addr": gossip.map(|gossip| &gossip.addr),
        "state": gossip.map(state),
        "gone_ms": gossip.filter(gone).map(|gossip| gossip.gone_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::tests::server;
    use seedlog_client::Role;

    fn heard(id: &str, role: Role, liveness: Liveness, gone_ms: u64) -> Server {
        let gossip = Gossip { addr: format!("10.0.0.{id}:8401"), liveness: liveness.into(), gone_ms };
        Server { gossip: Some(gossip), ..server(id, role, false) }
    }

    #[test]
    fn raft_and_gossip_stand_side_by_side_and_what_one_does_not_know_is_a_dash() {
        let members = GetServersResponse {
            servers: vec![
                heard("1", Role::Leader, Liveness::Alive, 0),
                heard("2", Role::Voter, Liveness::Dead, 7_300_000),
                server("3", Role::Learner, false),
            ],
            strangers: vec![heard("4", Role::Unspecified, Liveness::Left, 900)],
        };
        let wanted = "\
ID  NAME    ROLE      ADDRESS        GOSSIP         STATE
1   node-1  leader    10.0.0.1:8400  10.0.0.1:8401  alive
2   node-2  voter     10.0.0.2:8400  10.0.0.2:8401  dead for 2h
3   node-3  learner   10.0.0.3:8400  -              -
4   node-4  stranger  10.0.0.4:8400  10.0.0.4:8401  left for 900ms
";
        assert_eq!(shown(&members), wanted);
        let gone: Vec<Value> = rows(&members).map(|(server, role)| as_json(server, role)["gone_ms"].clone()).collect();
        assert_eq!(gone, [json!(null), json!(7_300_000), json!(null), json!(900)]);
    }
}
