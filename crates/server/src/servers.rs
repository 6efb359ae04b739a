//! What this node knows of the cluster.

use crate::service::Service;
use seedlog_api::v1::{GetServersResponse, Role, Server};
use seedlog_raft::Status;
use std::time::Duration;

/// How long a question about the servers waits for this node to know.
const READY_MAX: Duration = Duration::from_secs(2);

impl Service {
    /// A node that has just started does not know yet what it has; it says so after a moment.
    pub async fn get_servers(&self) -> GetServersResponse {
        let ready = seedlog_runtime::clock::timeout(READY_MAX, self.node().ready());
        if !matches!(ready.await, Ok(Ok(()))) {
            tracing::debug!("asked for the servers, and not ready");
        }
        GetServersResponse { servers: servers(&self.node().status(), self.cluster_id(), self.rpc_addr()) }
    }
}

/// The members, as of what this node has applied, and this node in any case: before it knows that it is
/// a member it has no role. What only a member itself can know (offsets, indexes) is set for this node
/// alone.
fn servers(status: &Status, cluster_id: u128, rpc_addr: &str) -> Vec<Server> {
    let listed = |node_id: u64, rpc_addr: &str, role: Role| {
        let server = Server {
            id: format!("{node_id:016x}"),
            rpc_addr: rpc_addr.to_owned(),
            is_leader: role == Role::Leader,
            role: role.into(),
            cluster_id: format!("{cluster_id:032x}"),
            ..Server::default()
        };
        if node_id != status.node_id {
            return server;
        }
        Server {
            term: status.term,
            first_offset: status.first_offset,
            next_offset: status.next_offset,
            last_index: status.last_index.unwrap_or(0),
            committed_index: status.committed_index.unwrap_or(0),
            applied_index: status.applied_index.unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..server
        }
    };
    let members = status.members.iter().map(|member| {
        let role = match member.voter {
            _ if status.leader_id == Some(member.node_id) => Role::Leader,
            true => Role::Voter,
            false => Role::Learner,
        };
        listed(member.node_id, &member.rpc_addr, role)
    });
    let mut servers: Vec<Server> = members.collect();
    if status.members.iter().all(|member| member.node_id != status.node_id) {
        servers.insert(0, listed(status.node_id, rpc_addr, Role::Unspecified));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_raft::Member;

    fn listed(leader_id: Option<u64>, members: &[(u64, bool)]) -> Vec<(u64, Role, bool)> {
        let members = members.iter().map(|(node_id, voter)| Member {
            node_id: *node_id,
            name: String::new(),
            rpc_addr: format!("member-{node_id}:1"),
            voter: *voter,
            matched_index: None,
        });
        let status = Status {
            node_id: 2,
            role: seedlog_raft::Role::Learner,
            leader_id,
            term: 7,
            last_index: Some(9),
            committed_index: None,
            applied_index: None,
            first_offset: 0,
            next_offset: 0,
            members: members.collect(),
        };
        let servers = servers(&status, 1, "here:1");
        servers.iter().map(|server| (server.id.parse().unwrap(), server.role(), server.term == 7)).collect()
    }

    #[test]
    fn a_node_that_knows_no_members_yet_lists_itself_without_a_role() {
        assert_eq!(listed(None, &[]), [(2, Role::Unspecified, true)]);
        assert_eq!(listed(None, &[(1, true)]), [(2, Role::Unspecified, true), (1, Role::Voter, false)]);
    }

    #[test]
    fn members_are_listed_once_and_only_the_one_asked_knows_its_own_numbers() {
        let listed = listed(Some(1), &[(1, true), (2, true), (3, false)]);
        assert_eq!(listed, [(1, Role::Leader, false), (2, Role::Voter, true), (3, Role::Learner, false)]);
    }
}
