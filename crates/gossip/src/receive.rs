//! What a datagram leads to.

use crate::identity::Identity;
use crate::task::Task;
use crate::wire::{Packet, Undecodable, foca_header};
use foca::{Error, Message};
use std::net::SocketAddr;

impl Task {
    pub(crate) fn receive(&mut self, bytes: &[u8], from: SocketAddr) {
        self.counting.received.up();
        let received = match Packet::decode(bytes) {
            Ok(Packet::Foca(payload)) => self.receive_foca(payload, from),
            Ok(Packet::Hello { nonce }) => {
                let identity = self.foca.identity().clone();
                self.send(from, &Packet::Here { nonce, identity });
                Ok(())
            }
            Ok(Packet::Here { nonce, identity }) => {
                self.receive_here(nonce, identity);
                Ok(())
            }
            Ok(Packet::Known { node_id, incarnation }) => {
                let me = self.foca.identity();
                if node_id == me.node_id() && incarnation >= me.incarnation {
                    self.renew_above(incarnation);
                }
                Ok(())
            }
            Err(undecodable) => Err(undecodable),
        };
        if let Err(undecodable) = received {
            tracing::debug!(%from, bytes = bytes.len(), %undecodable, "gossip dropped a datagram");
            match undecodable {
                Undecodable::Foreign { .. } => self.counting.foreign.up(),
                Undecodable::Garbage => self.counting.garbage.up(),
            }
        }
    }

    fn receive_foca(&mut self, payload: &[u8], from: SocketAddr) -> Result<(), Undecodable> {
        let header = foca_header(payload)?;
        let me = self.foca.identity().clone();
        let newer = self.newer_than(&header.src);
        match self.foca.handle_data(payload, &mut self.outbox) {
            Ok(()) => {}
            // Ours, come back: a past life's address is among the dead, and is ours again.
            Err(Error::DataFromOurselves) => return Ok(()),
            Err(
                Error::MalformedPacket
                | Error::Decode(_)
                | Error::DataTooBig
                | Error::CustomBroadcast(_)
                | Error::IndirectForOurselves,
            ) => return Err(Undecodable::Garbage),
            Err(error) => tracing::warn!(%from, %error, "gossip could not take a datagram"),
        }
        if let Some(incarnation) = newer {
            // A clock was set back between its lives. It will go above what we know; until then it is ignored.
            self.send(from, &Packet::Known { node_id: header.src.node_id(), incarnation });
        } else if header.dst.member.gossip_addr == me.member.gossip_addr && header.dst != me {
            self.receive_for_another_life(header, &me);
        }
        Ok(())
    }

    /// Meant for whom the sender takes to be at this address: another life of this node, or another node.
    fn receive_for_another_life(&mut self, header: foca::Header<Identity>, me: &Identity) {
        if header.dst > *me {
            self.renew_above(header.dst.incarnation);
        } else if header.message != Message::Announce {
            // It did not hear of our last change, and would take our silence for death.
            if let Err(error) = self.foca.announce(header.src, &mut self.outbox) {
                tracing::warn!(%error, "gossip could not announce this node");
            }
        }
    }

    fn receive_here(&mut self, nonce: u64, identity: Identity) {
        let Some((join, addr)) = self.contacts.answer(nonce) else { return };
        if let Some(contact) = join.and_then(|address| self.members.join.get_mut(&address))
            && let Some(answered) = contact.found.get_mut(&addr)
            && *answered != Some(identity.node_id())
        {
            *answered = Some(identity.node_id());
            self.publish();
        }
        if identity.member.gossip_addr == self.foca.identity().member.gossip_addr {
            return; // It is us, under a name or another address of ours.
        }
        if let Err(error) = self.foca.announce(identity, &mut self.outbox) {
            tracing::warn!(%error, "gossip could not announce this node");
        }
    }

    /// The incarnation that `identity` would have to exceed, if it is not the newest of its node and at its address.
    ///
    /// foca may hold a life of it, down, somewhere else, that this node never saw alive: to [`crate::Members`] it is
    /// nobody, and yet the newest.
    fn newer_than(&self, identity: &Identity) -> Option<u64> {
        let of_node = self.members.get(identity.node_id()).map(|known| known.identity());
        let (node_id, addr) = (identity.node_id(), identity.member.gossip_addr);
        let held = self.foca.iter_membership_state().map(|seen| seen.id());
        let held = held.filter(|id| id.node_id() == node_id || id.member.gossip_addr == addr);
        let newest = held.chain(of_node.as_ref()).filter(|other| *other > identity);
        newest.map(|newer| newer.incarnation).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::counters::Counting;
    use crate::identity::tests::identity;
    use foca::{Codec, Header, Member, PostcardCodec, State};
    use rand::RngExt;
    use rand_chacha::ChaCha12Rng;
    use seedlog_runtime::rng::keyed;
    use seedlog_runtime::udp::Socket;
    use std::sync::Arc;

    const ME: u64 = 1;

    async fn task() -> Task {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let me = identity(ME, 50);
        let config = Config::new(me.member.clone());
        Task::new(Arc::new(socket), me, config, Arc::new(Counting::default())).0
    }

    /// Of any of a few nodes, in any of a few lives, at its address or at another's.
    fn any_identity(rng: &mut ChaCha12Rng) -> Identity {
        let mut identity = identity(rng.random_range(1..6), rng.random_range(48..53));
        identity.leaving = rng.random_bool(0.1);
        if rng.random_bool(0.1) {
            identity.incarnation = rng.random();
            identity.member.gossip_addr = format!("10.0.0.{}:8401", rng.random_range(1..6)).parse().unwrap();
        }
        identity
    }

    fn any_message(rng: &mut ChaCha12Rng) -> Message<Identity> {
        let (id, probe_number) = (any_identity(rng), rng.random());
        match rng.random_range(0..11) {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq { target: id, probe_number },
            3 => Message::IndirectPing { origin: id, probe_number },
            4 => Message::IndirectAck { target: id, probe_number },
            5 => Message::ForwardedAck { origin: id, probe_number },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            _ => Message::TurnUndead,
        }
    }

    fn any_datagram(rng: &mut ChaCha12Rng, me: &Identity) -> Vec<u8> {
        match rng.random_range(0..10) {
            0 => return Packet::Hello { nonce: rng.random() }.encode(),
            1 => return Packet::Here { nonce: rng.random_range(0..3), identity: any_identity(rng) }.encode(),
            2 => return Packet::Known { node_id: ME, incarnation: rng.random_range(0..100) }.encode(),
            _ => {}
        }
        let dst = if rng.random_bool(0.8) { me.clone() } else { any_identity(rng) };
        let (src, message) = (any_identity(rng), any_message(rng));
        let news = if message == Message::Announce { 0 } else { rng.random_range(0..4u16) };
        let mut bytes = Vec::new();
        PostcardCodec
            .encode_header(&Header { src, src_incarnation: rng.random_range(0..3), dst, message }, &mut bytes)
            .unwrap();
        if news > 0 {
            bytes.extend_from_slice(&news.to_be_bytes());
        }
        for _ in 0..news {
            let state = [State::Alive, State::Suspect, State::Down][rng.random_range(0..3)];
            let member = Member::new(any_identity(rng), rng.random_range(0..3), state);
            PostcardCodec.encode_member(&member, &mut bytes).unwrap();
        }
        bytes.truncate(crate::wire::FOCA_BYTES_MAX);
        Packet::Foca(&bytes).encode()
    }

    fn damage(rng: &mut ChaCha12Rng, bytes: &mut Vec<u8>) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..4) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, rng.random()),
        }
    }

    fn said(task: &mut Task, src: &Identity, state: Option<Member<Identity>>) {
        let dst = task.foca.identity().clone();
        let header = Header { src: src.clone(), src_incarnation: 0, dst, message: Message::Gossip };
        let mut bytes = Vec::new();
        PostcardCodec.encode_header(&header, &mut bytes).unwrap();
        if let Some(member) = state {
            bytes.extend_from_slice(&1u16.to_be_bytes());
            PostcardCodec.encode_member(&member, &mut bytes).unwrap();
        }
        task.receive(&Packet::Foca(&bytes).encode(), src.member.gossip_addr);
        task.take_in();
    }

    #[tokio::test]
    async fn who_moved_with_its_clock_set_back_hears_of_a_past_life_that_was_never_seen_alive_here() {
        let mut task = task().await;
        let (other, past) = (identity(2, 50), identity(3, 900));
        said(&mut task, &other, Some(Member::new(past.clone(), 0, State::Down)));
        assert!(task.members.get(3).is_none(), "who was gone before is not listed");
        let mut now = identity(3, 100);
        now.member.gossip_addr = "10.0.0.99:8401".parse().unwrap();
        task.outbox.packets.clear();
        said(&mut task, &now, None);
        let known = Packet::Known { node_id: 3, incarnation: 900 }.encode();
        let told = task.outbox.packets.iter().any(|(to, bytes)| *to == now.member.gossip_addr && *bytes == known);
        assert!(told, "it cannot know how to be taken in");
        said(&mut task, &now.above(900), None);
        assert!(task.members.get(3).is_some_and(|known| known.is_alive() && known.member == now.member));
    }

    /// Sound ones in an order and from senders that no network would bring, and damaged ones.
    #[tokio::test]
    async fn whatever_arrives_is_taken_or_dropped_and_never_a_panic() {
        for seed in 0..20 {
            let (mut task, mut rng) = (task().await, keyed(seed, &["datagrams".into()]));
            for _ in 0..1000 {
                let me = task.foca.identity().clone();
                let mut bytes = any_datagram(&mut rng, &me);
                while rng.random_bool(0.4) && !bytes.is_empty() {
                    damage(&mut rng, &mut bytes);
                }
                task.receive(&bytes, "10.0.0.77:8401".parse().unwrap());
                task.take_in();
                assert!(task.outbox.packets.iter().all(|(_, bytes)| bytes.len() <= crate::DATAGRAM_BYTES_MAX));
                task.outbox.packets.clear();
                task.outbox.timers.clear();
            }
            let counters = task.counting.read();
            assert!(counters.garbage > 100 && counters.foreign > 10, "too little was damaged: {counters:?}");
            assert!(!task.members.others.contains_key(&ME) && task.members.others.len() >= 2, "{:?}", task.members);
            assert_eq!(task.foca.identity().member, identity(ME, 0).member, "nobody else says what we are");
        }
    }
}
