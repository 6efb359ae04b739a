//! A connection's socket that lets others go first: what is written goes out only after everybody who is ready to run
//! has had a turn, since they may have more for the same connection.
//!
//! Answers come in bursts: one sync answers all calls that waited for it. Each of them wakes the connection's task, and
//! without this the first one is on its way, in a system call and a packet of its own, before the second one is written.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

pub struct Gathering {
    socket: TcpStream,
    /// The others have had their turn since something was written last.
    waited: bool,
}

impl Gathering {
    pub fn new(socket: TcpStream) -> Gathering {
        Gathering { socket, waited: false }
    }

    /// The first time pending, with the task at the end of the queue.
    fn let_others_go_first(&mut self, context: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Connected for Gathering {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Gathering {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, into)
    }
}

impl AsyncWrite for Gathering {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gathering = self.get_mut();
        ready!(gathering.let_others_go_first(context));
        Pin::new(&mut gathering.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// All that there was is written: what comes next waits again.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathering = self.get_mut();
        gathering.waited = false;
        Pin::new(&mut gathering.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (Gathering, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Gathering::new(near.unwrap()), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_write_waits_one_turn_and_then_goes_out() {
        let (mut near, mut far) = pair().await;
        let waker = std::task::Waker::noop();
        let mut context = Context::from_waker(waker);
        let mut write = |bytes| Pin::new(&mut near).poll_write(&mut context, bytes).map(Result::unwrap);
        assert_eq!([write(b"ab"), write(b"ab"), write(b"c")], [Poll::Pending, Poll::Ready(2), Poll::Ready(1)]);
        near.flush().await.unwrap();
        let mut write = |bytes| Pin::new(&mut near).poll_write(&mut context, bytes).map(Result::unwrap);
        assert_eq!([write(b"d"), write(b"d")], [Poll::Pending, Poll::Ready(1)], "after a flush, again");
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"abcd");
    }

    #[tokio::test]
    async fn those_who_are_ready_go_first() {
        let (mut near, mut far) = pair().await;
        let (order, mut ordered) = tokio::sync::mpsc::unbounded_channel();
        let others = order.clone();
        let write = async move {
            near.write_all(b"x").await.unwrap();
            order.send("written").unwrap();
        };
        let other = async move { others.send("other").unwrap() };
        tokio::join!(tokio::spawn(write), tokio::spawn(other)).0.unwrap();
        assert_eq!((ordered.recv().await, ordered.recv().await), (Some("other"), Some("written")));
        far.read_exact(&mut [0]).await.unwrap();
    }
}
