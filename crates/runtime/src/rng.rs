//! Randomness with a purpose. In the simulation every stream is keyed by what it is for, so that
//! removing one decision leaves all the others as they were.

mod keyed;

pub use keyed::{Key, keyed};
use rand_chacha::ChaCha12Rng;

/// A generator for `purpose`: seeded by the operating system in production; in the simulation by the
/// seed, the node, the purpose, and how many generators of that purpose this node made before.
#[cfg(not(madsim))]
pub fn rng(_purpose: &str) -> ChaCha12Rng {
    use rand::SeedableRng;
    ChaCha12Rng::try_from_rng(&mut rand::rngs::SysRng).expect("the operating system gives random bytes")
}

#[cfg(madsim)]
pub fn rng(purpose: &str) -> ChaCha12Rng {
    crate::sim::rng_here(purpose)
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use rand::Rng;

    #[test]
    fn two_generators_of_one_purpose_differ() {
        assert_ne!(super::rng("test").next_u64(), super::rng("test").next_u64());
    }
}
