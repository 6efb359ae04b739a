//! `seedlog status`: what the servers say of themselves.

use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::output;
use crate::servers::{answers, lag_shown, listed, name_shown, role};
use crate::table::table;
use seedlog_client::Server;
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn run(args: Status, format: Output) -> Result<ExitCode, Failure> {
    let servers = listed(&args.connection.addr).await?;
    match format {
        Output::Text => output::bytes(shown(&servers).as_bytes()),
        Output::Json => output::json(&json!({ "servers": servers.iter().map(as_json).collect::<Vec<_>>() })),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
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
