//! Where to listen: `host:port`.

use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Where to listen: a name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

#[derive(Debug, PartialEq, Eq)]
pub struct BadHostPort;

impl std::fmt::Display for BadHostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected host:port, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080")
    }
}

impl std::error::Error for BadHostPort {}

impl FromStr for HostPort {
    type Err = BadHostPort;

    fn from_str(given: &str) -> Result<HostPort, BadHostPort> {
        let (host, port) = given.rsplit_once(':').ok_or(BadHostPort)?;
        let port = port.parse().map_err(|_| BadHostPort)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => host,
            None if !host.is_empty() && !host.contains([':', '/', '[', ']', ' ']) => host,
            _ => return Err(BadHostPort),
        };
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl HostPort {
    /// The address that the host has; IPv4 first, since a name like `localhost` has both.
    ///
    /// # Errors
    /// If it has none.
    pub async fn resolve(&self) -> Result<SocketAddr, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut found: Vec<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.first().copied().ok_or_else(|| "the name has no address".to_owned())
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HostPort { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_listen_is_a_host_and_a_port() {
        for good in ["127.0.0.1:8080", "localhost:0", "[::1]:80", "node-1.example:65535"] {
            assert_eq!(good.parse::<HostPort>().map(|parsed| parsed.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "8080", ":8080", "localhost", "localhost:", "localhost:65536", "::1:80", "[x]:1", "http://a:1"]
        {
            assert_eq!(bad.parse::<HostPort>(), Err(BadHostPort), "{bad}");
        }
    }
}
