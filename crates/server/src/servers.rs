//! What this node knows of the cluster.

use crate::heard::Heard;
use crate::service::Service;
use seedlog_api::ApiError;
use seedlog_api::v1::{GetServersResponse, Role, Server};
use seedlog_raft::{Pace, Status};
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
        let status = self.node().status();
        let heard = self.heard();
        let mut servers = servers(&status, self.cluster_id(), self.rpc_addr());
        let Pace { heartbeat, sync } = self.node().pace();
        let least = self.node().pace().heartbeat_least().unwrap_or_default();
        for server in &mut servers {
            if server.id == shown_id(status.node_id) {
                server.heartbeat_ms = heartbeat.as_millis() as u64;
                server.sync_us = sync.map(|sync| sync.as_micros() as u64);
                server.heartbeat_ms_least = least.as_millis() as u64;
            }
            server.gossip = heard.iter().find(|heard| shown_id(heard.node_id) == server.id).map(Heard::shown);
        }
        let is_listed = |heard: &&Heard| servers.iter().any(|server| server.id == shown_id(heard.node_id));
        let strangers = heard.iter().filter(|heard| !is_listed(heard)).map(stranger).collect();
        GetServersResponse { servers, strangers }
    }
}

/// A server's id as the API has it: 16 hex digits.
pub fn shown_id(node_id: u64) -> String {
    format!("{node_id:016x}")
}

/// # Errors
/// If it is not as [`shown_id`] writes it; capitals are taken, too.
pub fn parse_id(id: &str) -> Result<u64, ApiError> {
    let digits = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let node_id = u64::from_str_radix(id, 16).ok().filter(|_| digits);
    match node_id.ok_or_else(|| ApiError::BadServerId { id: id.to_owned() })? {
        // Nobody has it, and among the peers it stands for nobody.
        0 => Err(ApiError::UnknownServer { id: id.to_owned() }),
        node_id => Ok(node_id),
    }
}

/// The members, as of what this node has applied, and this node in any case: before it knows that it is
/// a member it has no role. What only a member itself can know (offsets, indexes) is set for this node
/// alone.
fn servers(status: &Status, cluster_id: u128, rpc_addr: &str) -> Vec<Server> {
    let listed = |node_id: u64, name: &str, rpc_addr: &str, role: Role| {
        let server = Server {
            id: shown_id(node_id),
            name: name.to_owned(),
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
        let server = listed(member.node_id, &member.name, &member.rpc_addr, role);
        Server { matched_index: member.matched_index, ..server }
    });
    let mut servers: Vec<Server> = members.collect();
    if status.members.iter().all(|member| member.node_id != status.node_id) {
        servers.insert(0, listed(status.node_id, "", rpc_addr, Role::Unspecified));
    }
    servers
}

/// One of whom only gossip tells.
fn stranger(heard: &Heard) -> Server {
    Server {
        id: shown_id(heard.node_id),
        name: heard.name.clone(),
        rpc_addr: heard.rpc_addr.clone(),
        cluster_id: heard.cluster_id.map_or_else(String::new, |cluster_id| format!("{cluster_id:032x}")),
        gossip: Some(heard.shown()),
        ..Server::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedlog_raft::Member;

    fn all(leader_id: Option<u64>, members: &[(u64, bool)]) -> Vec<Server> {
        let members = members.iter().map(|(node_id, voter)| Member {
            node_id: *node_id,
            name: format!("name-{node_id}"),
            rpc_addr: format!("member-{node_id}:1"),
            voter: *voter,
            matched_index: (leader_id == Some(2) && *node_id != 2).then_some(8),
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
            halfway_to: None,
        };
        servers(&status, 1, "here:1")
    }

    fn listed(leader_id: Option<u64>, members: &[(u64, bool)]) -> Vec<(u64, Role, bool)> {
        let servers = all(leader_id, members);
        servers.iter().map(|server| (parse_id(&server.id).unwrap(), server.role(), server.term == 7)).collect()
    }

    #[test]
    fn members_have_names_and_the_leader_knows_how_far_the_others_are() {
        let told = |leader_id| {
            let servers = all(Some(leader_id), &[(1, true), (2, true)]);
            servers.into_iter().map(|server| (server.name, server.matched_index)).collect::<Vec<_>>()
        };
        assert_eq!(told(2), [("name-1".into(), Some(8)), ("name-2".into(), None)]);
        assert_eq!(told(1), [("name-1".into(), None), ("name-2".into(), None)]);
    }

    #[test]
    fn an_id_is_sixteen_hex_digits_and_whatever_else_is_told_so() {
        for node_id in [1, 0xc0ffee, u64::MAX] {
            assert_eq!(parse_id(&shown_id(node_id)), Ok(node_id));
        }
        assert_eq!(parse_id("00C0FFEE00C0FFEE"), Ok(0x00c0_ffee_00c0_ffee));
        for id in ["", "1", "node-1", "+000000000000001", "000000000000000g", "00000000000000001", " 00000000000000a"] {
            assert_eq!(parse_id(id), Err(ApiError::BadServerId { id: id.to_owned() }));
        }
        let nobody = "0".repeat(16);
        assert_eq!(parse_id(&nobody), Err(ApiError::UnknownServer { id: nobody }));
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
