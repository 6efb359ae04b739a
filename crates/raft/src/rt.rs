//! openraft's runtime, over ours: its timers run on the node's own clock and drift with it, and its
//! random election timeouts come from the node's seed.
//!
//! `cfg(madsim)` is here for one thing: tokio's watch wakes its waiters in random order, so in the
//! simulation openraft gets its own deterministic one.

use openraft_rt::AsyncRuntime;
use seedlog_runtime::clock;
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

#[cfg(madsim)]
type Channels = openraft_rt_sim::SimRuntime;
#[cfg(not(madsim))]
type Channels = openraft_rt_tokio::TokioRuntime;

#[derive(Debug)]
pub struct Rt;

/// The node's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RtInstant(clock::Instant);

impl RtInstant {
    /// Whether it is at most `longest` ago.
    pub fn is_within(self, longest: Duration) -> bool {
        self.0.elapsed() <= longest
    }
}

impl Add<Duration> for RtInstant {
    type Output = RtInstant;
    fn add(self, rhs: Duration) -> RtInstant {
        RtInstant(self.0 + rhs)
    }
}

impl AddAssign<Duration> for RtInstant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for RtInstant {
    type Output = RtInstant;
    fn sub(self, rhs: Duration) -> RtInstant {
        RtInstant(self.0 - rhs)
    }
}

impl SubAssign<Duration> for RtInstant {
    fn sub_assign(&mut self, rhs: Duration) {
        *self = *self - rhs;
    }
}

impl Sub<RtInstant> for RtInstant {
    type Output = Duration;
    fn sub(self, rhs: RtInstant) -> Duration {
        self.0 - rhs.0
    }
}

impl openraft_rt::Instant for RtInstant {
    fn now() -> RtInstant {
        RtInstant(clock::now())
    }
}

pub struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[derive(Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

pub struct Timeout<F> {
    future: Pin<Box<F>>,
    deadline: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.deadline).poll(cx).map(|()| Err(Elapsed))
    }
}

/// The task ended without a result: it panicked, or the runtime is going away.
#[derive(Debug)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ended without a result")
    }
}

pub struct Joined<T>(oneshot::Receiver<T>);

impl<T> Future for Joined<T> {
    type Output = Result<T, Lost>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| received.map_err(|_| Lost))
    }
}

impl AsyncRuntime for Rt {
    type JoinError = Lost;
    type JoinHandle<T: Send + 'static> = Joined<T>;
    type Sleep = Sleep;
    type Instant = RtInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = Timeout<T>;
    type ThreadLocalRng = rand_chacha::ChaCha12Rng;
    type Mpsc = <Channels as AsyncRuntime>::Mpsc;
    type Watch = <Channels as AsyncRuntime>::Watch;
    type Oneshot = <Channels as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <Channels as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Joined<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        let (done, joined) = oneshot::channel();
        drop(seedlog_runtime::spawn(async move {
            // Nobody may be waiting; the task runs all the same.
            let _ = done.send(future.await);
        }));
        Joined(joined)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep(Box::pin(clock::sleep(duration)))
    }

    fn sleep_until(deadline: RtInstant) -> Sleep {
        Sleep(Box::pin(clock::sleep_until(deadline.0)))
    }

    fn timeout<R, F: Future<Output = R> + Send>(duration: Duration, future: F) -> Timeout<F> {
        Timeout { future: Box::pin(future), deadline: Self::sleep(duration) }
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(deadline: RtInstant, future: F) -> Timeout<F> {
        Timeout { future: Box::pin(future), deadline: Self::sleep_until(deadline) }
    }

    fn is_panic(_lost: &Lost) -> bool {
        true
    }

    fn thread_rng() -> rand_chacha::ChaCha12Rng {
        seedlog_runtime::rng("raft")
    }

    /// # Panics
    /// Always: a node runs inside the runtime of its process or of the simulation.
    fn new(_threads: usize) -> Rt {
        panic!("a node does not start a runtime of its own")
    }

    /// # Panics
    /// Always, as [`Rt::new`].
    fn block_on<F, T>(&mut self, _future: F) -> T
    where
        F: Future<Output = T>,
    {
        panic!("a node does not block on a future")
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, std::io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(seedlog_runtime::blocking(work).await)
    }
}

#[cfg(test)]
mod tests {
    use super::Rt;
    use openraft_rt::testing::Suite;

    /// The part of openraft's suite that concerns what is ours; the channels come with their own tests.
    #[tokio::test]
    async fn openrafts_suite() {
        type S = Suite<Rt>;
        S::test_spawn_join_handle().await;
        S::test_thread_rng().await;
        S::test_sleep().await;
        S::test_instant().await;
        S::test_instant_arithmetic().await;
        S::test_instant_sub_instant().await;
        S::test_instant_saturating_duration_since().await;
        S::test_instant_ord().await;
        S::test_sleep_until().await;
        S::test_timeout().await;
        S::test_timeout_at().await;
        S::test_mpsc_backpressure().await;
        S::test_watch_multiple_receivers().await;
    }
}
