//! The trace hash: one number over everything that happened, in order. Two runs with the same hash did
//! the same; madsim's own check compares only random draws and times.

/// FNV-1a, 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(u128);

impl Default for Hash {
    fn default() -> Hash {
        Hash(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hash {
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The last events, for a report, and the hash over all of them.
#[derive(Debug)]
pub struct Trace {
    hash: Hash,
    count: u64,
    last: std::collections::VecDeque<String>,
    keep: usize,
    echo: bool,
}

impl Trace {
    /// Keeps the last `keep` events; `echo` prints each to stderr.
    pub fn new(keep: usize, echo: bool) -> Trace {
        Trace { hash: Hash::default(), count: 0, last: Default::default(), keep, echo }
    }

    pub fn event(&mut self, at_ns: u64, line: String) {
        self.hash.add(&at_ns.to_le_bytes());
        self.hash.add(line.as_bytes());
        self.count += 1;
        crate::watchdog::something_happened();
        let line = format!("{:>12.6}s  {line}", at_ns as f64 / 1e9);
        if self.echo {
            eprintln!("{line}");
        }
        if self.last.len() == self.keep {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub fn hash(&self) -> Hash {
        self.hash
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
