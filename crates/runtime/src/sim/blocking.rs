use super::sleep::sleep_world;
use super::world::{halt, keyed_rng, number, with_node};
use madsim::plugin;
use madsim::task::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::future::pending;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a blocking step waits before it runs and before it answers, each drawn anew.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockingTimes {
    pub before: RangeInclusive<Duration>,
    pub after: RangeInclusive<Duration>,
}

impl Default for BlockingTimes {
    /// A healthy disk.
    fn default() -> Self {
        let short = Duration::from_micros(20)..=Duration::from_millis(1);
        BlockingTimes { before: short.clone(), after: short }
    }
}

/// Where in a blocking step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It was asked for, and nothing happened yet.
    Before,
    /// It happened, and nobody was told.
    After,
}

#[derive(Default)]
pub struct Blocking {
    times: BlockingTimes,
    /// Draws the times; made at the first step.
    rng: Option<ChaCha12Rng>,
    /// Begun so far.
    steps: u64,
    crash: Option<Crash>,
}

struct Crash {
    step: u64,
    moment: Moment,
    then: Box<dyn FnOnce()>,
}

pub fn set_blocking(node: NodeId, times: BlockingTimes) {
    with_node(node, |node| node.blocking.times = times);
}

/// How many blocking steps the node has begun.
pub fn blocking_steps(node: NodeId) -> u64 {
    with_node(node, |node| node.blocking.steps)
}

/// The node goes down at `moment` of its blocking step number `step` (counted from 1, see
/// [`blocking_steps`]); `then` tells the harness, which kills it. One at a time: the last one set
/// counts. Going down *inside* a step is the disk's part, with [`halt`].
pub fn crash_at_step(node: NodeId, step: u64, moment: Moment, then: impl FnOnce() + 'static) {
    with_node(node, |node| node.blocking.crash = Some(Crash { step, moment, then: Box::new(then) }));
}

pub async fn blocking_step<R>(f: impl FnOnce() -> R) -> R {
    let node = plugin::node();
    let (step, before, after) = with_node(node, |state| {
        let blocking = &mut state.blocking;
        blocking.steps += 1;
        (blocking.steps, blocking.times.before.clone(), blocking.times.after.clone())
    });
    sleep_world(draw(node, before)).await;
    go_down_if_planned(node, step, Moment::Before);
    park_if_halted(node).await;
    let result = f();
    park_if_halted(node).await;
    go_down_if_planned(node, step, Moment::After);
    park_if_halted(node).await;
    sleep_world(draw(node, after)).await;
    park_if_halted(node).await;
    result
}

fn draw(node: NodeId, times: RangeInclusive<Duration>) -> Duration {
    let rng = with_node(node, |state| state.blocking.rng.take());
    let mut rng = rng.unwrap_or_else(|| keyed_rng(&["node".into(), number(node).into(), "blocking".into()]));
    let nanos = rng.random_range(times.start().as_nanos() as u64..=times.end().as_nanos() as u64);
    with_node(node, |state| state.blocking.rng = Some(rng));
    Duration::from_nanos(nanos)
}

fn go_down_if_planned(node: NodeId, step: u64, moment: Moment) {
    let due = |crash: &mut Crash| crash.step == step && crash.moment == moment;
    let crash = with_node(node, |state| state.blocking.crash.take_if(due));
    if let Some(crash) = crash {
        halt(node);
        (crash.then)();
    }
}

/// A machine that is down answers nobody; the kill drops this future.
pub async fn park_if_halted(node: NodeId) {
    if with_node(node, |state| state.halted) {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{set_seed, unhalt};
    use crate::{blocking, clock};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_step_takes_the_time_that_was_set_and_the_same_time_again_under_the_same_seed() {
        let times = BlockingTimes {
            before: Duration::from_micros(100)..=Duration::from_micros(200),
            after: Duration::from_millis(3)..=Duration::from_millis(4),
        };
        let mut runs = Vec::new();
        for _ in 0..2 {
            set_seed(7);
            set_blocking(plugin::node(), times.clone());
            let (mut draws, start) = (Vec::new(), clock::now());
            for _ in 0..3 {
                draws.push((draw(plugin::node(), times.before.clone()), draw(plugin::node(), times.after.clone())));
            }
            blocking(|| ()).await;
            assert!(start.elapsed() >= Duration::from_micros(3100) && start.elapsed() < Duration::from_micros(4300));
            runs.push(draws);
        }
        assert_eq!(runs[0], runs[1]);
        assert_ne!(runs[0][0], runs[0][1]);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_done_all_the_same() {
        let done = Arc::new(AtomicU32::new(0));
        let work = done.clone();
        let step = blocking(move || work.fetch_add(1, Ordering::Relaxed));
        assert!(clock::timeout(Duration::from_nanos(1), step).await.is_err());
        clock::sleep(SECOND).await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    /// What of three steps happens, and which of them answer, if the node goes down at `crash`.
    async fn run(crash: Option<(u64, Moment)>) -> (u32, u32) {
        let node = madsim::runtime::Handle::current().create_node().build();
        let (happened, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let down = Arc::new(AtomicU32::new(0));
        if let Some((step, moment)) = crash {
            let down = down.clone();
            crash_at_step(node.id(), step, moment, move || {
                down.fetch_add(1, Ordering::Relaxed);
            });
        }
        let (happens, answers) = (happened.clone(), answered.clone());
        node.spawn(async move {
            for _ in 0..3 {
                let happens = happens.clone();
                blocking(move || happens.fetch_add(1, Ordering::Relaxed)).await;
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
        clock::sleep(SECOND).await;
        assert_eq!(down.load(Ordering::Relaxed), u32::from(crash.is_some()));
        (happened.load(Ordering::Relaxed), answered.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_node_goes_down_before_or_after_a_step_and_tells_nobody() {
        assert_eq!(run(None).await, (3, 3));
        assert_eq!(run(Some((2, Moment::Before))).await, (1, 1));
        assert_eq!(run(Some((2, Moment::After))).await, (2, 1));
    }

    #[tokio::test]
    async fn a_node_that_goes_down_inside_a_step_never_answers_until_it_is_restarted() {
        let node = plugin::node();
        let lost = clock::timeout(SECOND, blocking(move || halt(node))).await;
        assert!(lost.is_err());
        assert!(clock::timeout(SECOND, blocking(|| ())).await.is_err());
        unhalt(node);
        assert!(clock::timeout(SECOND, blocking(|| ())).await.is_ok());
    }
}
