//! What is known of the servers.

use super::answer;
use crate::service::Service;
use axum::response::Response;
use seedlog_api::v1::{GetServersResponse, Gossip, Liveness, Role, Server};
use serde::Serialize;

#[derive(Serialize)]
struct Servers {
    servers: Vec<ServerJson>,
    /// Not members: known by gossip alone.
    strangers: Vec<ServerJson>,
}

/// Numbers only of the server that answers: it knows no others. But for how far they are, if it leads.
#[derive(Serialize)]
struct ServerJson {
    id: String,
    name: String,
    rpc_addr: String,
    is_leader: bool,
    role: &'static str,
    cluster_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gossip: Option<GossipJson>,
    #[serde(flatten)]
    own: Option<OwnNumbers>,
}

#[derive(Serialize)]
struct OwnNumbers {
    term: u64,
    first_offset: u64,
    next_offset: u64,
    last_index: u64,
    committed_index: u64,
    applied_index: u64,
    version: String,
    heartbeat_ms: u64,
    /// Null: it could not be measured.
    sync_us: Option<u64>,
    /// Null: the heartbeat will do.
    heartbeat_ms_least: Option<u64>,
}

#[derive(Serialize)]
struct GossipJson {
    addr: String,
    liveness: &'static str,
    gone_ms: u64,
}

pub async fn servers(service: &Service) -> Response {
    let GetServersResponse { servers, strangers } = service.get_servers().await;
    let servers = servers.into_iter().map(server).collect();
    answer::json(&Servers { servers, strangers: strangers.into_iter().map(stranger).collect() })
}

fn stranger(stranger: Server) -> ServerJson {
    ServerJson { role: "stranger", ..server(stranger) }
}

fn gossip(gossip: Gossip) -> GossipJson {
    let liveness = match gossip.liveness() {
        Liveness::Alive => "alive",
        Liveness::Left => "left",
        Liveness::Dead => "dead",
        Liveness::Unspecified => "unknown",
    };
    GossipJson { addr: gossip.addr, liveness, gone_ms: gossip.gone_ms }
}

fn server(server: Server) -> ServerJson {
    let answers = !server.version.is_empty();
    let role = match server.role() {
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
        // A node that does not know yet that it is a member.
        Role::Unspecified if answers => "starting",
        Role::Unspecified => "unknown",
    };
    let own = answers.then_some(OwnNumbers {
        term: server.term,
        first_offset: server.first_offset,
        next_offset: server.next_offset,
        last_index: server.last_index,
        committed_index: server.committed_index,
        applied_index: server.applied_index,
        version: server.version,
        heartbeat_ms: server.heartbeat_ms,
        sync_us: server.sync_us,
        heartbeat_ms_least: Some(server.heartbeat_ms_least).filter(|least| *least > 0),
    });
    let gossip = server.gossip.map(gossip);
    let Server { id, name, rpc_addr, is_leader, cluster_id, matched_index, .. } = server;
    ServerJson { id, name, rpc_addr, is_leader, role, cluster_id, matched_index, gossip, own }
}
