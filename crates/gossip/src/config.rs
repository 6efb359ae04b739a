use crate::member::{BadMember, Member};
use crate::tuning;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    /// `gossip_addr` is the advertised address: where others send to, whatever the socket is bound to.
    pub me: Member,
    /// `host:port`, names too; this node's own address among them does no harm. Asked until they answer.
    pub join: Vec<String>,
    /// All other times follow from it; the same on all nodes. A death is seen after 5 to 10 of them.
    pub probe_interval: Duration,
    /// How long who is gone stays listed, and at most how many of them.
    pub remember: Duration,
    pub remembered_max: usize,
}

impl Config {
    pub fn new(me: Member) -> Config {
        Config {
            me,
            join: Vec::new(),
            probe_interval: tuning::PROBE_INTERVAL,
            remember: Duration::from_secs(7 * 24 * 3600),
            remembered_max: 1024,
        }
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.me.check()?;
        for address in &self.join {
            check_join(address)?;
        }
        let (min, max) = (tuning::PROBE_INTERVAL_MIN, tuning::PROBE_INTERVAL_MAX);
        if !(min..=max).contains(&self.probe_interval) {
            return Err(StartError::ProbeInterval { asked: self.probe_interval, min, max });
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("gossip: {0}")]
    Member(#[from] BadMember),
    #[error("gossip: {0}")]
    Join(#[from] BadJoinAddress),
    #[error("gossip: a probe interval of {asked:?} is not between {min:?} and {max:?}")]
    ProbeInterval { asked: Duration, min: Duration, max: Duration },
}

/// It can never be right; a name that nobody knows yet is another matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is no address to join: {why}, as in 10.0.0.1:8401, [fd00::1]:8401 or node-1.example:8401")]
pub struct BadJoinAddress {
    pub address: String,
    pub why: &'static str,
}

fn check_join(address: &str) -> Result<(), BadJoinAddress> {
    let bad = |why| BadJoinAddress { address: address.to_owned(), why };
    if let Ok(addr) = address.parse::<SocketAddr>() {
        return match (addr.port(), addr.ip().is_unspecified()) {
            (0, _) => Err(bad("nobody listens on port 0")),
            (_, true) => Err(bad("it stands for every address, and thus for none")),
            _ => Ok(()),
        };
    }
    let (host, port) = address.rsplit_once(':').ok_or(bad("it must be HOST:PORT"))?;
    match port.parse::<u16>() {
        Ok(0) => return Err(bad("nobody listens on port 0")),
        Ok(_) => {}
        Err(_) => return Err(bad("its port must be a number up to 65535")),
    }
    let in_names = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    match host {
        "" => Err(bad("it must be HOST:PORT")),
        _ if host.len() > 253 => Err(bad("no name is longer than 253 characters")),
        _ if host.contains(':') => Err(bad("an IPv6 address goes in brackets")),
        _ if !host.chars().all(in_names) => Err(bad("its host is neither an IP nor a name")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    #[test]
    fn addresses_that_can_never_be_right_are_refused_at_start_with_the_reason() {
        for (address, why) in [
            ("10.0.0.1", "HOST:PORT"),
            (":8401", "HOST:PORT"),
            ("10.0.0.1:0", "port 0"),
            ("node-1:0", "port 0"),
            ("node-1:gossip", "number"),
            ("node-1:65536", "number"),
            ("::1:8401", "brackets"),
            ("0.0.0.0:8401", "every address"),
            ("http://node-1:8401", "brackets"),
            ("node 1:8401", "neither"),
        ] {
            let mut config = Config::new(member(1));
            config.join = vec!["10.0.0.2:8401".into(), address.into()];
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(address), "{address}: {error}");
        }
    }

    #[test]
    fn addresses_that_may_be_right_some_day_are_taken() {
        let mut config = Config::new(member(1));
        for address in ["10.0.0.1:8401", "[fd00::1]:8401", "node-1:8401", "seedlog-0.seedlog.default.svc:8401", "a_b:1"]
        {
            config.join.push(address.into());
        }
        assert_eq!(config.check(), Ok(()));
        config.probe_interval = Duration::ZERO;
        assert!(matches!(config.check(), Err(StartError::ProbeInterval { .. })));
    }
}
