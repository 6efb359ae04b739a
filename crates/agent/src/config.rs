use seedlog_raft::NodeConfig;
use seedlog_server::{BadLimit, Limits};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything a node has to be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Absolute. Created if it is not there.
    pub data_dir: PathBuf,
    /// gRPC, for clients. Port 0 takes any that is free.
    pub rpc_addr: SocketAddr,
    /// HTTP/JSON; none: not served.
    pub http_addr: Option<SocketAddr>,
    /// What people call this node.
    pub node_name: String,
    /// If there is no log yet: begin one, as the first and only voter of a new cluster. With `join`, only
    /// once everybody there has answered, and that they have none.
    pub bootstrap: bool,
    /// The names of all who begin a cluster together, this node's among them: the first begins it once
    /// all are there, the others join. Empty: not so.
    pub bootstrap_expect: Vec<String>,
    /// Where gossip listens; none: a node alone.
    pub gossip_addr: Option<SocketAddr>,
    /// Where others send gossip, if that is not where it listens; the port is the same.
    pub gossip_advertised: Option<IpAddr>,
    /// The host under which others reach gRPC, if it is not the one where it listens; the port is the same.
    pub rpc_advertised: Option<String>,
    /// `host:port` of others' gossip; names too, looked up each time.
    pub join: Vec<String>,
    /// A voter that has been silent for so long is taken out, if a live majority of the others remains.
    pub dead_server_grace: Duration,
    /// A stop is a farewell: the node is taken out of the cluster.
    pub leave_on_stop: bool,
    pub log: seedlog_log::Config,
    pub limits: Limits,
    /// How often a leader shows that it is there. Elections start after a few missed ones.
    pub heartbeat: Duration,
    /// Produce calls that are not answered yet hold at most this together; more wait their turn.
    pub in_flight_bytes_max: usize,
    /// Below this much free space nothing is produced any more.
    pub reserve_bytes: u64,
    /// The log is read again and again to find damage, at most so fast; 0: never.
    pub scrub_bytes_per_s: u64,
    /// Between two such readings.
    pub scrub_pause: Duration,
}

impl Config {
    /// The defaults, for what has one.
    pub fn new(data_dir: PathBuf, rpc_addr: SocketAddr) -> Config {
        let node = NodeConfig::new(0, 0, "");
        Config {
            data_dir,
            rpc_addr,
            http_addr: None,
            node_name: "seedlog".to_owned(),
            bootstrap: true,
            bootstrap_expect: Vec::new(),
            gossip_addr: None,
            gossip_advertised: None,
            rpc_advertised: None,
            join: Vec::new(),
            dead_server_grace: Duration::from_secs(24 * 3600),
            leave_on_stop: false,
            log: node.log,
            limits: Limits::default(),
            heartbeat: node.heartbeat,
            in_flight_bytes_max: node.in_flight_bytes_max,
            reserve_bytes: node.reserve_bytes,
            scrub_bytes_per_s: node.scrub_bytes_per_s,
            scrub_pause: node.scrub_pause,
        }
    }
}

/// A value that a node cannot run with, and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    #[error("data_dir is {given:?}, it must be an absolute path")]
    DataDir { given: PathBuf },
    #[error("node_name is {given:?}, it must have 1 to {max} characters, none of them control characters")]
    NodeName { given: String, max: usize },
    #[error("{name} is {value}, it must be from {min} to {max}")]
    Number { name: &'static str, value: u64, min: u64, max: u64 },
    #[error(transparent)]
    Limit(#[from] BadLimit),
    #[error(
        "reserve_bytes is {given}, it must be at least {}: what is in flight (in_flight_bytes_max, {in_flight}) \
         and a new segment's index ({index}) and pre-written space ({prewritten})",
        in_flight + index + prewritten
    )]
    Reserve { given: u64, in_flight: u64, index: u64, prewritten: u64 },
    #[error("bootstrap_expect is {given:?}, it must have this node's name, {name:?}, and each name once")]
    Expect { given: Vec<String>, name: String },
    #[error(
        "bind_addr is {given}, which stands for every address: say with advertise_host where others reach this node"
    )]
    NoAdvertised { given: SocketAddr },
    #[error("start_join_addrs is set, and there is no gossip to join with")]
    NoGossip,
    #[error("http_addr is {given}, but this program was built without HTTP")]
    NoHttp { given: SocketAddr },
}

impl BadConfig {
    /// The field of [`Config`], or of a part of it, that is to be set otherwise.
    pub fn name(&self) -> &'static str {
        match self {
            BadConfig::DataDir { .. } => "data_dir",
            BadConfig::NodeName { .. } => "node_name",
            BadConfig::Number { name, .. } | BadConfig::Limit(BadLimit { name, .. }) => name,
            BadConfig::Reserve { .. } => "reserve_bytes",
            BadConfig::Expect { .. } => "bootstrap_expect",
            BadConfig::NoAdvertised { .. } => "bind_addr",
            BadConfig::NoGossip => "start_join_addrs",
            BadConfig::NoHttp { .. } => "http_addr",
        }
    }
}

/// The few bytes around the batch as the API measures it.
pub(crate) const BATCH_OVERHEAD_BYTES: u64 = 64;
const NODE_NAME_MAX: usize = 255;
/// A row of a segment's index.
const INDEX_ROW_BYTES: u64 = 16;

impl Config {
    /// # Errors
    /// The first value that a node cannot run with.
    pub fn check(&self) -> Result<(), BadConfig> {
        if !self.data_dir.is_absolute() {
            return Err(BadConfig::DataDir { given: self.data_dir.clone() });
        }
        let named = (1..=NODE_NAME_MAX).contains(&self.node_name.chars().count());
        if !named || self.node_name.chars().any(char::is_control) {
            return Err(BadConfig::NodeName { given: self.node_name.clone(), max: NODE_NAME_MAX });
        }
        let within = |name, value, min, max| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(BadConfig::Number { name, value, min, max }) }
        };
        within("segment_bytes_max", self.log.segment_bytes_max, 4 << 10, 1 << 40)?;
        within("index_rows_max", self.log.index_rows_max.into(), 1, 1 << 24)?;
        within("prewrite_bytes", self.log.prewrite_bytes, 0, 64 << 20)?;
        // Twice a round trip and a sync at least; a minute without a leader at most.
        within("heartbeat_ms", self.heartbeat.as_millis() as u64, 10, 10_000)?;
        self.limits.check()?;
        // One call must fit, or it would be let through as a smaller one.
        let (least, in_flight) =
            (self.limits.batch_bytes_max as u64 + BATCH_OVERHEAD_BYTES, self.in_flight_bytes_max as u64);
        within("in_flight_bytes_max", in_flight, least, 1 << 30)?;
        let index = u64::from(self.log.index_rows_max) * INDEX_ROW_BYTES;
        let prewritten = self.log.prewrite_bytes;
        if self.reserve_bytes < in_flight + index + prewritten {
            return Err(BadConfig::Reserve { given: self.reserve_bytes, in_flight, index, prewritten });
        }
        let mut expected = self.bootstrap_expect.clone();
        expected.sort();
        expected.dedup();
        let listed = self.bootstrap_expect.is_empty() || self.bootstrap_expect.contains(&self.node_name);
        if !listed || expected.len() != self.bootstrap_expect.len() {
            return Err(BadConfig::Expect { given: self.bootstrap_expect.clone(), name: self.node_name.clone() });
        }
        match self.gossip_addr {
            None if !self.join.is_empty() || !self.bootstrap_expect.is_empty() => return Err(BadConfig::NoGossip),
            // 0.0.0.0 is where one listens, and nowhere that one could be reached.
            Some(given) if given.ip().is_unspecified() && self.gossip_advertised.is_none() => {
                return Err(BadConfig::NoAdvertised { given });
            }
            _ => {}
        }
        match self.http_addr {
            Some(given) if cfg!(not(feature = "http")) => Err(BadConfig::NoHttp { given }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("/data".into(), ([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config().check(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_what_it_may_be() {
        let small = seedlog_log::Config { segment_bytes_max: 100, ..Default::default() };
        let limits = Limits { in_flight_max: 0, ..Limits::default() };
        let cases = [
            (Config { data_dir: "data".into(), ..config() }, "data_dir is \"data\", it must be an absolute path"),
            (Config { node_name: String::new(), ..config() }, "node_name is \"\", it must have 1 to 255 characters"),
            (Config { node_name: "a\nb".into(), ..config() }, "node_name is \"a\\nb\""),
            (Config { log: small, ..config() }, "segment_bytes_max is 100, it must be from 4096 to 1099511627776"),
            (Config { limits, ..config() }, "in_flight_max is 0, it must be from 1 to 65536"),
            (
                Config { in_flight_bytes_max: 1 << 20, ..config() },
                "in_flight_bytes_max is 1048576, it must be from 4194368 to 1073741824",
            ),
            (
                Config { reserve_bytes: 1 << 20, ..config() },
                "reserve_bytes is 1048576, it must be at least 34865152: what is in flight (in_flight_bytes_max, 33554432)",
            ),
            (
                Config { heartbeat: Duration::from_millis(1), ..config() },
                "heartbeat_ms is 1, it must be from 10 to 10000",
            ),
        ];
        for (config, wanted) in cases {
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error:?} does not start with {wanted:?}");
        }
    }

    #[cfg(not(feature = "http"))]
    #[test]
    fn an_http_address_without_http_is_refused_not_ignored() {
        let config = Config { http_addr: Some(([127, 0, 0, 1], 8080).into()), ..config() };
        assert!(matches!(config.check(), Err(BadConfig::NoHttp { .. })));
    }
}
