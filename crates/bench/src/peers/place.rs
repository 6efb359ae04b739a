//! What is measured.

use super::size_label;
use std::fmt;

/// Who, and how it is asked. In the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    SeedlogUnary,
    SeedlogStream,
    Etcd,
    NatsR3,
    NatsR3Synced,
    Redis,
    SeedlogTail,
    NatsTailR3,
    NatsTailR1,
    RedisTail,
}

impl What {
    pub const WRITES: [What; 6] =
        [What::SeedlogUnary, What::Etcd, What::SeedlogStream, What::NatsR3, What::NatsR3Synced, What::Redis];
    pub fn is_ours(self) -> bool {
        matches!(self, What::SeedlogUnary | What::SeedlogStream | What::SeedlogTail)
    }

    pub const TAILS: [What; 4] = [What::SeedlogTail, What::NatsTailR1, What::NatsTailR3, What::RedisTail];
}

/// One row. Writes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub size: u32,
    pub what: What,
    /// Calls made and not answered yet; none for a tail.
    pub in_flight: Option<u32>,
}

impl Point {
    pub fn label(&self) -> String {
        let what = match self.what {
            What::SeedlogUnary => "**seedlog, unary",
            What::SeedlogStream => "**seedlog, stream",
            What::Etcd => "etcd, put",
            What::NatsR3 => "NATS R3, nothing synced",
            What::NatsR3Synced => "NATS R3, synced",
            What::Redis => "Redis (one), XADD",
            What::SeedlogTail => "**seedlog, ConsumeStream",
            What::NatsTailR3 => "NATS R3, push consumer",
            What::NatsTailR1 => "NATS R1, push consumer",
            What::RedisTail => "Redis (one), XREAD",
        };
        let many = self.in_flight.map_or(String::new(), |many| format!(", {many} in flight"));
        let end = if what.starts_with("**") { "**" } else { "" };
        format!("{what}{many}{end}")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", size_label(self.size), self.label())
    }
}
