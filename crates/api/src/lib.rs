//! The public API `log.v1` and the peers' `raft.v1`: generated code, the shape of a stored record, and the one table of errors
//! and gRPC statuses.

mod details;
mod error;
mod record;

pub use error::ApiError;

/// Where a server that does not lead names the leader in its answers' metadata: `ID@HOST:PORT`.
pub const LEADER: &str = "seedlog-leader";

pub use record::{stored, with_position};

/// The package `log.v1`: messages, [`v1::log_client::LogClient`], [`v1::log_server::Log`], and the same of `admin`.
#[allow(clippy::all)]
pub mod v1 {
    tonic::include_proto!("log.v1");

    /// `AdminService` on the wire, as services are named there; in Rust the suffixes say enough.
    pub mod admin_client {
        pub use super::admin_service_client::AdminServiceClient as AdminClient;
    }
    pub mod admin_server {
        pub use super::admin_service_server::{AdminService as Admin, AdminServiceServer as AdminServer};
    }
}

/// The package `raft.v1`: what the nodes of a cluster say to each other.
#[allow(clippy::all)]
pub mod raft_v1 {
    tonic::include_proto!("raft.v1");

    pub mod raft_client {
        pub use super::raft_service_client::RaftServiceClient as RaftClient;
    }
    pub mod raft_server {
        pub use super::raft_service_server::{RaftService as Raft, RaftServiceServer as RaftServer};
    }
}

/// The compiled protos of the public API, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// What the book's Go client sends and reads, byte for byte.
    #[test]
    fn the_field_numbers_are_the_books() {
        let record = v1::Record { value: "hi".into(), offset: 5, term: 6, r#type: 7, ..Default::default() };
        let encoded = b"\x0a\x02hi\x10\x05\x18\x06\x20\x07";
        assert_eq!(record.encode_to_vec(), encoded);

        let produce = v1::ProduceRequest { record: Some(record.clone()), ..Default::default() };
        assert_eq!(produce.encode_to_vec(), [b"\x0a\x0a".as_slice(), encoded].concat());
        assert_eq!(v1::ProduceResponse { offset: 5, ..Default::default() }.encode_to_vec(), b"\x08\x05");
        assert_eq!(v1::ConsumeRequest { offset: 5, ..Default::default() }.encode_to_vec(), b"\x08\x05");

        let consumed = v1::ConsumeResponse { record: Some(record), ..Default::default() };
        assert_eq!(consumed.encode_to_vec(), [b"\x12\x0a".as_slice(), encoded].concat());

        let server = v1::Server { id: "a".into(), rpc_addr: "b".into(), is_leader: true, ..Default::default() };
        let servers = v1::GetServersResponse { servers: vec![server], strangers: Vec::new() };
        assert_eq!(servers.encode_to_vec(), b"\x0a\x08\x0a\x01a\x12\x01b\x18\x01");
    }

    #[test]
    fn the_descriptor_set_names_the_service() {
        assert!(FILE_DESCRIPTOR_SET.windows(13).any(|bytes| bytes == b"ProduceStream"));
    }
}
