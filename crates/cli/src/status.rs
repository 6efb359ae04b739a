//! `seedlog status`: what the servers say of themselves.

use crate::args::{Output, Status};
use crate::failure::Failure;
use crate::output;
use seedlog_client::{Client, Role, Server};
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn run(args: Status, format: Output) -> Result<ExitCode, Failure> {
    let addr = &args.connection.addr;
    let servers = Client::connect(addr)?.servers().await.map_err(|error| Failure::call(addr, error))?;
    match format {
        Output::Text => output::bytes(table(&servers).as_bytes()),
        Output::Json => output::json(&json!({ "servers": servers.iter().map(as_json).collect::<Vec<_>>() })),
    }
    .map_err(Failure::Stdout)?;
    Ok(ExitCode::SUCCESS)
}

fn role(server: &Server) -> &'static str {
    match server.role() {
        // A node that does not know yet that it is a member.
        Role::Unspecified if !server.version.is_empty() => "starting",
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        Role::Unspecified => "unknown",
    }
}

fn table(servers: &[Server]) -> String {
    let mut rows = vec![["ID", "ROLE", "ADDRESS", "TERM", "OFFSETS", "LAST", "COMMITTED", "APPLIED"].map(String::from)];
    for server in servers {
        // Only the server that was asked knows these of itself.
        let asked = !server.version.is_empty();
        let known = |value: String| if asked { value } else { "-".to_owned() };
        rows.push([
            server.id.clone(),
            role(server).to_owned(),
            server.rpc_addr.clone(),
            known(server.term.to_string()),
            known(format!("{}..{}", server.first_offset, server.next_offset)),
            known(server.last_index.to_string()),
            known(server.committed_index.to_string()),
            known(server.applied_index.to_string()),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

fn as_json(server: &Server) -> Value {
    let asked = !server.version.is_empty();
    let mut shown = json!({
        "id": server.id,
        "rpc_addr": server.rpc_addr,
        "is_leader": server.is_leader,
        "role": role(server),
        "cluster_id": server.cluster_id,
    });
    if asked {
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

    #[test]
    fn a_node_that_knows_no_role_of_its_own_is_starting() {
        let server = Server { id: "1".into(), version: "0.1.0".into(), ..Server::default() };
        assert_eq!(role(&server), "starting");
        assert_eq!(role(&Server { version: String::new(), ..server }), "unknown");
    }

    #[test]
    fn columns_line_up_and_what_is_not_known_is_a_dash() {
        let asked = Server {
            id: "0000000000000001".into(),
            rpc_addr: "127.0.0.1:8400".into(),
            role: Role::Leader.into(),
            term: 2,
            next_offset: 100_000,
            last_index: 9,
            committed_index: 9,
            applied_index: 9,
            version: "0.1.0".into(),
            ..Server::default()
        };
        let other = Server {
            id: "2".into(),
            rpc_addr: "h:1".into(),
            role: Role::Learner.into(),
            version: String::new(),
            ..asked.clone()
        };
        let wanted = "\
ID                ROLE     ADDRESS         TERM  OFFSETS    LAST  COMMITTED  APPLIED
0000000000000001  leader   127.0.0.1:8400  2     0..100000  9     9          9
2                 learner  h:1             -     -          -     -          -
";
        assert_eq!(table(&[asked, other]), wanted);
    }
}
