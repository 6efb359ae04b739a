use madsim::time::{Sleep, TimeHandle};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Sleeps for exactly `duration` of the world's time. madsim's own sleep takes at least 1 ms.
pub fn sleep_world(duration: Duration) -> WorldSleep {
    let world = TimeHandle::current();
    // A node's deadline may be "never"; the world's timer heap wants a finite one.
    let duration = duration.min(Duration::from_secs(1 << 32));
    let mut sleep = world.sleep(duration);
    Pin::new(&mut sleep).reset(world.now_instant() + duration);
    WorldSleep { sleep, registered: None }
}

/// madsim's `Sleep` puts another timer on the heap at each poll and never takes one off. In a select
/// in a loop they pile up, so this one registers once per waker.
pub struct WorldSleep {
    sleep: Sleep,
    registered: Option<Waker>,
}

impl Future for WorldSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.sleep.is_elapsed() && self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.registered = Some(cx.waker().clone());
        Pin::new(&mut self.sleep).poll(cx)
    }
}
