//! `seedlog status`: what the servers say of themselves.

use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::output;
use crate::servers::{answers, lag_shown, listed, name_shown, role};
use crate::table::table;
use seedlog_client::Server;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

pub async fn run(args: Status, format: Output) -> Result<ExitCode, Failure> {
    let servers = listed(&args.connection).await?;
    match format {
        Output::Text => output::bytes(shown(&servers).as_bytes()),
        Output::Json => output::json(&json!({ "servers": servers.iter().map(as_json).collect::<Vec<_>>() })),
    }
    .map_err(Failure::Stdout)?;
    for warning in servers.iter().filter_map(|server| slow_disk(server, &servers)) {
        eprintln!("seedlog: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A server's disk for which its heartbeat is too small. One that is alone waits for nobody's.
fn slow_disk(server: &Server, servers: &[Server]) -> Option<String> {
    let (least, alone) = (server.heartbeat_ms_least, servers.len() == 1);
    (least > 0 && !alone).then(|| {
        let sync = Duration::from_micros(server.sync_us.unwrap_or(0));
        format!(
            "a sync of the disk of {} ({}) took {sync:?} when it started, and its heartbeat is {} ms: a leader will look \
             dead now and then; on every node, set --heartbeat-ms to {least} at least",
            server.id,
            name_shown(server),
            server.heartbeat_ms
        )
    })
}

fn shown(servers: &[Server]) -> String {
    let row = |server: &Server| {
        // Only a server that was asked knows these of itself.
        let known = |value: String| if answers(server) { value } else { "-".to_owned() };
        [
            server.id.clone(),
            name_shown(server),
            role(server).to_owned(),
            server.rpc_addr.clone(),
            known(server.term.to_string()),
            known(format!("{}..{}", server.first_offset, server.next_offset)),
            known(server.last_index.to_string()),
            known(server.committed_index.to_string()),
            known(server.applied_index.to_string()),
            lag_shown(server, servers),
        ]
    };
    let head = ["ID", "NAME", "ROLE", "ADDRESS", "TERM", "OFFSETS", "LAST", "COMMITTED", "APPLIED", "LAG"];
    table(head, &servers.iter().map(row).collect::<Vec<_>>())
}

fn as_json(server: &Server) -> Value {
    let mut shown = json!({
        "id": server.id,
        "name": server.name,
        "rpc_addr": server.rpc_addr,
        "is_leader": server.is_leader,
        "role": role(server),
        "cluster_id": server.cluster_id,
    });
    if let Some(matched_index) = server.matched_index {
        shown["matched_index"] = matched_index.into();
    }
    if answers(server) {
        let known = json!({
            "term": server.term,
            "first_offset": server.first_offset,
            "next_offset": server.next_offset,
            "last_index": server.last_index,
            "committed_index": server.committed_index,
            "applied_index": server.applied_index,
            "version": server.version,
            "heartbeat_ms": server.heartbeat_ms,
            "sync_us": server.sync_us,
            "heartbeat_ms_least": Some(server.heartbeat_ms_least).filter(|least| *least > 0),
        });
        if let (Value::Object(shown), Value::Object(known)) = (&mut shown, known) {
            shown.extend(known);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::tests::server;
    use seedlog_client::Role;

    #[test]
    fn a_disk_too_slow_for_the_heartbeat_is_named_with_both_numbers_and_what_would_do() {
        let slow = Server {
            sync_us: Some(90_000),
            heartbeat_ms: 150,
            heartbeat_ms_least: 180,
            ..server("1", Role::Leader, true)
        };
        let cluster = [slow.clone(), server("2", Role::Voter, false)];
        let warning = slow_disk(&slow, &cluster).unwrap();
        assert!(warning.contains("1 (node-1) took 90ms") && warning.contains("is 150 ms"), "{warning}");
        assert!(warning.ends_with("set --heartbeat-ms to 180 at least"), "{warning}");
        assert_eq!(slow_disk(&slow, &cluster[..1]), None);
        assert_eq!(slow_disk(&cluster[1], &cluster), None);
    }

    #[test]
    fn columns_line_up_and_what_is_not_known_is_a_dash() {
        let asked = Server {
            name: String::new(),
            term: 2,
            next_offset: 100_000,
            committed_index: 9,
            applied_index: 9,
            ..server("1", Role::Leader, true)
        };
        let other = Server { matched_index: Some(8), ..server("2", Role::Learner, false) };
        let wanted = "\
ID  NAME    ROLE     ADDRESS        TERM  OFFSETS    LAST  COMMITTED  APPLIED  LAG
1   -       leader   10.0.0.1:8400  2     0..100000  9     9          9        0
2   node-2  learner  10.0.0.2:8400  -     -          -     -          -        1
";
        assert_eq!(shown(&[asked, other]), wanted);
    }
}
