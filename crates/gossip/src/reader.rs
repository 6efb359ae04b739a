use crate::wire::DATAGRAM_BYTES_MAX;
use seedlog_runtime::clock;
use seedlog_runtime::udp::Socket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// What waits for the task; the rest waits in the operating system, or is lost there.
pub const WAITING_MAX: usize = 256;

pub type Datagram = (Vec<u8>, SocketAddr);

/// Receives until nobody listens. A task of its own, because half a receive must not be dropped.
pub async fn read(socket: Arc<Socket>, to: Sender<Datagram>) {
    // One byte more than there may be, so that what is too long does not pass for what just fits.
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        let received = seedlog_runtime::select! {
            () = to.closed() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((len, from)) => {
                if to.send((buffer[..len].to_vec(), from)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Of a datagram sent before, or of the interface; never worth a busy loop.
                tracing::debug!(%error, "gossip could not receive");
                clock::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
