//! Datagrams, and the names of the machines that send them.
//!
//! What a datagram may do in the simulation it may do outside: be lost, overtake another, and (see
//! `sim::set_udp_duplication`) arrive twice.

use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// A bound port for datagrams. A sender and a receiver may share it.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    local_addr: SocketAddr,
}

impl Socket {
    pub async fn bind(address: SocketAddr) -> io::Result<Socket> {
        let socket = UdpSocket::bind(address).await?;
        Ok(Socket { local_addr: socket.local_addr()?, socket })
    }

    /// With the port that was chosen, if it was left open.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Sent is not received: of what happens on the way nobody is told.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        #[cfg(not(madsim))]
        self.socket.send_to(bytes, to).await?;
        #[cfg(madsim)]
        for _ in 0..crate::sim::udp_copies_here() {
            self.socket.send_to(to, bytes).await?;
        }
        Ok(())
    }

    /// The next datagram's length and sender; what does not fit into `buffer` is cut off.
    ///
    /// In the simulation a datagram may be lost if this is dropped half-way: let a task of its own receive.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await
    }
}

/// The addresses that `host:port` has now, at least one. An address in digits is its own, without a name server.
pub async fn resolve(host_port: &str) -> io::Result<Vec<SocketAddr>> {
    #[cfg(not(madsim))]
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host(host_port).await?.collect();
    #[cfg(madsim)]
    let mut found: Vec<SocketAddr> = madsim::net::lookup_host(host_port).await?.collect();
    // A resolver may say the same address once for each kind of socket.
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    async fn pair() -> (Socket, Socket) {
        let any = "127.0.0.1:0".parse().unwrap();
        (Socket::bind(any).await.unwrap(), Socket::bind(any).await.unwrap())
    }

    #[tokio::test]
    async fn a_datagram_arrives_whole_with_its_sender_and_an_empty_one_does_too() {
        let (one, two) = pair().await;
        for bytes in [b"hello".as_slice(), b"", &[7; 1400]] {
            one.send_to(bytes, two.local_addr()).await.unwrap();
            let mut buffer = [0; 2048];
            let (len, from) = two.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..len], from), (bytes, one.local_addr()));
        }
    }

    #[tokio::test]
    async fn a_datagram_to_nobody_is_no_error_for_the_next() {
        let (one, two) = pair().await;
        let nobody = pair().await.0.local_addr();
        one.send_to(b"lost", nobody).await.unwrap();
        one.send_to(b"found", two.local_addr()).await.unwrap();
        let mut buffer = [0; 16];
        let (len, _) = clock::timeout(Duration::from_secs(5), two.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..len], b"found");
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused() {
        let (one, _two) = pair().await;
        assert!(Socket::bind(one.local_addr()).await.is_err());
    }

    #[tokio::test]
    async fn digits_and_names_resolve_and_what_has_no_address_is_an_error() {
        assert_eq!(resolve("10.0.0.7:8401").await.unwrap(), ["10.0.0.7:8401".parse().unwrap()]);
        assert_eq!(resolve("[::1]:8401").await.unwrap(), ["[::1]:8401".parse().unwrap()]);
        assert!(resolve("localhost:8401").await.unwrap().contains(&"127.0.0.1:8401".parse().unwrap()));
        for bad in ["", "10.0.0.7", "no-such-host.invalid:8401", "10.0.0.7:65536"] {
            assert!(resolve(bad).await.is_err(), "{bad:?}");
        }
    }
}
