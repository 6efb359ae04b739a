//! What this node knows of the cluster.

use crate::service::Service;
use seedlog_api::v1::{GetServersResponse, Role, Server};

impl Service {
    /// The members, as of what this node has applied. What only a member itself can know (offsets,
    /// indexes) is set for this node alone.
    pub(crate) fn servers(&self) -> GetServersResponse {
        let status = self.node().status();
        let cluster_id = format!("{:032x}", self.cluster_id());
        let servers = status.members.iter().map(|member| {
            let is_leader = status.leader_id == Some(member.node_id);
            let role = match member.voter {
                _ if is_leader => Role::Leader,
                true => Role::Voter,
                false => Role::Learner,
            };
            let server = Server {
                id: format!("{:016x}", member.node_id),
                rpc_addr: member.rpc_addr.clone(),
                is_leader,
                role: role.into(),
                cluster_id: cluster_id.clone(),
                ..Server::default()
            };
            if member.node_id != status.node_id {
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
        });
        GetServersResponse { servers: servers.collect() }
    }
}
