use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A datagram may carry four members (sender, receiver, a third of whom they talk, and news of one), and must
/// fit with all of them: see the test in `wire.rs`.
pub const NAME_BYTES_MAX: usize = 64;
pub const RPC_ADDR_BYTES_MAX: usize = 160;
pub const VERSION_BYTES_MAX: usize = 32;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    pub node_id: u64,
    /// For people, and for "a stranger of a dead voter's name".
    pub name: String,
    /// Where clients and peers reach it, as it wants to be dialled: `host:port`.
    pub rpc_addr: String,
    /// Where its datagrams come from and go to.
    pub gossip_addr: SocketAddr,
    /// 0: it belongs to no cluster yet.
    pub cluster_id: u128,
    /// It was never a member of its cluster, and would be one. Who was taken out does not ask again.
    pub joining: bool,
    /// Of the program; for diagnosis only.
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMember {
    #[error("the {field} has {bytes} bytes, and at most {bytes_max} fit into a datagram")]
    TooLong { field: &'static str, bytes: usize, bytes_max: usize },
    #[error("the {field} is empty")]
    Empty { field: &'static str },
    #[error("the {field} has the control character {character:?}")]
    ControlCharacter { field: &'static str, character: char },
    #[error("nobody can send to {gossip_addr}: gossip must advertise an address with IP and port")]
    NoAddress { gossip_addr: SocketAddr },
}

impl Member {
    /// Held on the way out and on the way in, so that whoever is listed fits into a datagram and a log line.
    pub fn check(&self) -> Result<(), BadMember> {
        check_text("name", &self.name, NAME_BYTES_MAX)?;
        check_text("rpc address", &self.rpc_addr, RPC_ADDR_BYTES_MAX)?;
        check_text("version", &self.version, VERSION_BYTES_MAX)?;
        for (field, text) in [("name", &self.name), ("rpc address", &self.rpc_addr)] {
            if text.is_empty() {
                return Err(BadMember::Empty { field });
            }
        }
        if self.gossip_addr.port() == 0 || self.gossip_addr.ip().is_unspecified() {
            return Err(BadMember::NoAddress { gossip_addr: self.gossip_addr });
        }
        Ok(())
    }
}

fn check_text(field: &'static str, text: &str, bytes_max: usize) -> Result<(), BadMember> {
    if text.len() > bytes_max {
        return Err(BadMember::TooLong { field, bytes: text.len(), bytes_max });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(BadMember::ControlCharacter { field, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn member(node_id: u64) -> Member {
        Member {
            node_id,
            name: format!("node-{node_id}"),
            rpc_addr: format!("10.0.0.{node_id}:8400"),
            gossip_addr: format!("10.0.0.{node_id}:8401").parse().unwrap(),
            cluster_id: 0,
            joining: true,
            version: "0.1.0".into(),
        }
    }

    /// As large as a member may be.
    pub fn largest() -> Member {
        Member {
            node_id: u64::MAX,
            name: "n".repeat(NAME_BYTES_MAX),
            rpc_addr: "r".repeat(RPC_ADDR_BYTES_MAX),
            gossip_addr: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
            cluster_id: u128::MAX,
            joining: true,
            version: "v".repeat(VERSION_BYTES_MAX),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_limit_and_what_just_fits_is_not() {
        assert_eq!(largest().check(), Ok(()));
        let long = Member { name: "n".repeat(65), ..member(1) };
        let refused = long.check().unwrap_err();
        assert_eq!(refused.to_string(), "the name has 65 bytes, and at most 64 fit into a datagram");
        assert!(matches!(
            Member { rpc_addr: "r".repeat(161), ..member(1) }.check(),
            Err(BadMember::TooLong { field: "rpc address", bytes: 161, bytes_max: 160 })
        ));
        assert!(Member { version: "v".repeat(33), ..member(1) }.check().is_err());
    }

    #[test]
    fn what_nobody_could_reach_or_read_is_refused() {
        for addr in ["0.0.0.0:8401", "10.0.0.1:0", "[::]:8401"] {
            let nowhere = Member { gossip_addr: addr.parse().unwrap(), ..member(1) };
            assert!(matches!(nowhere.check(), Err(BadMember::NoAddress { .. })), "{addr}");
        }
        assert_eq!(Member { name: String::new(), ..member(1) }.check(), Err(BadMember::Empty { field: "name" }));
        let sly = Member { name: "a\x1b[2J".into(), ..member(1) };
        assert!(matches!(sly.check(), Err(BadMember::ControlCharacter { field: "name", character: '\x1b' })));
    }
}
