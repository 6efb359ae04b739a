use crate::member::{BadMember, Member};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A member in one of its lives. The order says which is newer: first by incarnation, and then by whatever
/// differs, so that of two identities all nodes prefer the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Identity {
    /// Starts at the wall clock (ms), and grows with each life and with each change of the member's data. A
    /// clock that was set back costs nothing but one more round: whoever knows a newer life says so.
    pub incarnation: u64,
    /// Its last words: what goes silent after that has left, and is not dead.
    pub leaving: bool,
    pub member: Member,
}

/// As it comes from the network.
#[derive(Deserialize)]
struct Unchecked {
    incarnation: u64,
    leaving: bool,
    member: Member,
}

impl TryFrom<Unchecked> for Identity {
    type Error = BadMember;

    fn try_from(Unchecked { incarnation, leaving, member }: Unchecked) -> Result<Identity, BadMember> {
        member.check()?;
        Ok(Identity { incarnation, leaving, member })
    }
}

impl Identity {
    pub fn node_id(&self) -> u64 {
        self.member.node_id
    }

    /// The next life, newer than this one and than `incarnation`.
    pub fn above(&self, incarnation: u64) -> Identity {
        Identity { incarnation: self.incarnation.max(incarnation).saturating_add(1), ..self.clone() }
    }
}

impl foca::Identity for Identity {
    type Addr = SocketAddr;

    /// Declared down although it is there: it comes again as a newer one. Not if it is about to go.
    fn renew(&self) -> Option<Identity> {
        (!self.leaving).then(|| self.above(0))
    }

    fn addr(&self) -> SocketAddr {
        self.member.gossip_addr
    }

    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        self > adversary
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::member::tests::{largest, member};
    use foca::Identity as _;

    pub fn identity(node_id: u64, incarnation: u64) -> Identity {
        Identity { incarnation, leaving: false, member: member(node_id) }
    }

    #[test]
    fn of_two_identities_exactly_one_wins_and_the_next_life_always_does() {
        let mut renamed = identity(1, 5);
        renamed.member.cluster_id = 9;
        let mut gone = identity(1, 5);
        gone.leaving = true;
        let all = [identity(1, 5), identity(1, 6), identity(2, 5), renamed, gone];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(one.win_addr_conflict(other), other.win_addr_conflict(one), "{one:?} {other:?}");
            }
            assert!(one.above(100).win_addr_conflict(one) && one.above(0).win_addr_conflict(one));
            assert!(one.above(100).incarnation > 100);
        }
        assert!(identity(1, 5).renew().is_some());
        assert_eq!(all[4].renew(), None);
    }

    #[test]
    fn an_identity_from_the_network_is_checked() {
        let sent = Identity { incarnation: u64::MAX, leaving: true, member: largest() };
        let bytes = postcard::to_allocvec(&sent).unwrap();
        assert_eq!(postcard::from_bytes::<Identity>(&bytes), Ok(sent));
        let mut long = identity(1, 1);
        long.member.name = "n".repeat(65);
        let bytes = postcard::to_allocvec(&long).unwrap();
        assert!(postcard::from_bytes::<Identity>(&bytes).is_err());
    }

    #[test]
    fn the_last_incarnation_does_not_overflow() {
        assert_eq!(identity(1, u64::MAX).above(3).incarnation, u64::MAX);
    }
}
