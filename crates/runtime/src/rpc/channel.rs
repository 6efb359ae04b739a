use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to come up, and how long one may be silent before it is given up.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_MAX: Duration = Duration::from_secs(5);

/// Not a `host:port` that could be dialled.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is not an address like host:port")]
pub struct BadAddress {
    pub address: String,
}

/// A channel to `address` (`host:port`), which connects at the first call and again whenever it must.
///
/// # Errors
/// If `address` cannot be an address; whether anybody listens there shows at the first call.
pub fn channel(address: &str) -> Result<Channel, BadAddress> {
    let endpoint = endpoint(address)?
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_MAX)
        .keep_alive_while_idle(true);
    #[cfg(not(madsim))]
    let endpoint = endpoint
        .initial_stream_window_size(super::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(super::CONNECTION_WINDOW_BYTES)
        .max_frame_size(super::FRAME_BYTES_MAX);
    Ok(endpoint.connect_lazy())
}

/// # Errors
/// As [`channel`], and nothing else is done.
pub fn check_address(address: &str) -> Result<(), BadAddress> {
    endpoint(address).map(|_| ())
}

fn endpoint(address: &str) -> Result<Endpoint, BadAddress> {
    let bad = || BadAddress { address: address.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| bad())?;
    let authority = endpoint.uri().authority().ok_or_else(bad)?;
    if authority.host().is_empty() || authority.port_u16().is_none() || authority.as_str() != address {
        return Err(bad());
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_host_and_port_make_an_address() {
        for good in ["127.0.0.1:8400", "node-1.example:8400", "[::1]:8400"] {
            assert!(channel(good).is_ok() && check_address(good).is_ok(), "{good}");
        }
        for bad in ["", ":8400", "node", "node:", "node:port", "http://node:8400", "node:8400/path", "a b:1"] {
            assert!(channel(bad).is_err() && check_address(bad).is_err(), "{bad}");
        }
    }
}
