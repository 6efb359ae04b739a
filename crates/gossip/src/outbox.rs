use crate::identity::Identity;
use crate::wire::Packet;
use foca::{Notification, Runtime, Timer};
use std::net::SocketAddr;
use std::time::Duration;

/// What is to be done, until the task does it; datagrams are ready to be sent.
#[derive(Default)]
pub struct Outbox {
    pub packets: Vec<(SocketAddr, Vec<u8>)>,
    pub timers: Vec<(Duration, Timer<Identity>)>,
    /// The members, or this node's identity, are no longer what they were.
    pub changed: bool,
    pub rejoined: bool,
}

impl Runtime<Identity> for Outbox {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.changed = true;
        self.rejoined |= matches!(notification, Notification::Rejoin(_));
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.packets.push((to.member.gossip_addr, Packet::Foca(data).encode()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        self.timers.push((after, timer));
    }
}
