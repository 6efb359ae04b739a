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
    fn newer_than(&self, identity: &Identity) -> Option<u64> {
        let of_node = self.members.get(identity.node_id()).map(|known| known.identity());
        let addr = identity.member.gossip_addr;
        let at_address =
            self.foca.iter_membership_state().map(|seen| seen.id()).filter(|id| id.member.gossip_addr == addr);
        let newest = at_address.chain(of_node.as_ref()).filter(|other| *other > identity);
        newest.map(|newer| newer.incarnation).max()
    }
}
