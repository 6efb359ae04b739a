use super::world::{keyed_rng, number, with, with_node};
use madsim::plugin;
use rand::RngExt;

/// The chance of each datagram to arrive twice, in the whole world. Networks do that; madsim's does not.
pub fn set_udp_duplication(probability: f64) {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    with(|world| world.udp_duplication = probability);
}

/// How often the datagram that this node sends now is sent. Draws nothing where nothing is duplicated.
pub fn udp_copies_here() -> u32 {
    let probability = with(|world| world.udp_duplication);
    if probability == 0.0 {
        return 1;
    }
    let node = plugin::node();
    let rng = with_node(node, |state| state.udp_rng.take());
    let mut rng = rng.unwrap_or_else(|| keyed_rng(&["node".into(), number(node).into(), "udp".into()]));
    let copies = if rng.random_bool(probability) { 2 } else { 1 };
    with_node(node, |state| state.udp_rng = Some(rng));
    copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::sim::set_seed;
    use crate::udp::Socket;
    use std::time::Duration;

    /// How many of 200 datagrams arrive.
    async fn arrived(seed: u64, probability: f64) -> usize {
        set_seed(seed);
        set_udp_duplication(probability);
        let any = "127.0.0.1:0".parse().unwrap();
        let (one, two) = (Socket::bind(any).await.unwrap(), Socket::bind(any).await.unwrap());
        for _ in 0..200 {
            one.send_to(b"x", two.local_addr()).await.unwrap();
        }
        let mut count = 0;
        while clock::timeout(Duration::from_secs(1), two.recv_from(&mut [0; 8])).await.is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn some_datagrams_arrive_twice_and_the_same_ones_under_the_same_seed() {
        assert_eq!(arrived(7, 0.0).await, 200);
        assert_eq!(arrived(7, 1.0).await, 400);
        let some = arrived(7, 0.3).await;
        assert!((230..290).contains(&some), "{some}");
        assert_eq!(arrived(7, 0.3).await, some);
    }
}
