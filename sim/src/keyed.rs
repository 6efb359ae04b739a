//! Randomness by name: every decision has its own stream, keyed by what it decides.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u64; 4]);

impl Key {
    pub fn new(seed: u64) -> Key {
        Key([seed, 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb]).at(seed)
    }

    pub fn with(self, name: &str) -> Key {
        name.bytes().fold(self.at(name.len() as u64), |key, byte| key.at(u64::from(byte)))
    }

    pub fn at(self, number: u64) -> Key {
        let Key([a, b, c, d]) = self;
        let x = mix(a ^ number);
        Key([mix(b ^ x), mix(c.wrapping_add(x)), mix(d ^ x.rotate_left(17)), mix(x.wrapping_add(a))])
    }

    pub fn rng(self) -> ChaCha12Rng {
        let mut seed = [0; 32];
        for (word, out) in self.0.iter().zip(seed.chunks_exact_mut(8)) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha12Rng::from_seed(seed)
    }

    pub fn number(self) -> u64 {
        self.0[0]
    }
}

/// The finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
