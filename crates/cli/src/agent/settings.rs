//! All settings of an agent, as they are in effect, and the node's configuration made of them.

use super::args::{Agent, NAMES};
use super::error::BadSetting;
use super::file::File;
use super::layers::{Layers, Set, Shown, source_of};
use super::source::Source;
use super::value::{MaybeHostPort, Names};
use crate::host_port::HostPort;
use crate::moment::Age;
use crate::size::Size;
use clap::ArgMatches;
use seedlog_agent::{Config, Limits};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub struct Settings {
    data_dir: Option<Set<PathBuf>>,
    node_name: Option<Set<String>>,
    bootstrap: Set<bool>,
    bootstrap_expect: Option<Set<Names>>,
    dead_server_grace: Set<Age>,
    leave_on_terminate: Set<bool>,
    start_join_addrs: Option<Set<Vec<HostPort>>>,
    bind_addr: Set<HostPort>,
    advertise_host: Option<Set<String>>,
    rpc_port: Set<u16>,
    http_addr: Set<MaybeHostPort>,
    insecure: Set<bool>,
    record_bytes_max: Set<Size>,
    batch_bytes_max: Set<Size>,
    in_flight_bytes_max: Set<Size>,
    segment_bytes_max: Set<Size>,
    reserve_bytes: Set<Size>,
    heartbeat_ms: Set<u64>,
    scrub_rate: Set<Size>,
    /// Set, and without effect so far.
    not_yet: Option<(&'static str, Source, &'static str)>,
    pub shown: Vec<Shown>,
}

impl Settings {
    /// # Errors
    /// The first value that is not of its kind, with its place.
    pub fn read(args: &Agent, matches: &ArgMatches) -> Result<Settings, BadSetting> {
        let file = match &args.config_file {
            Some(path) => Some(File::read(path, source_of(matches, "config-file"))?),
            None => None,
        };
        let mut layers = Layers::new(matches, file, &NAMES)?;
        let joined = |given: &[String]| (!given.is_empty()).then(|| given.join(","));
        let mut settings = Settings {
            data_dir: layers.optional("data-dir", args.data_dir.as_deref())?,
            node_name: layers.optional("node-name", Some(&args.node_name.clone().unwrap_or_else(machine_name)))?,
            bootstrap: layers.with_default("bootstrap", &args.bootstrap)?,
            bootstrap_expect: layers.optional("bootstrap-expect", joined(&args.bootstrap_expect).as_deref())?,
            dead_server_grace: layers.with_default("dead-server-grace", &args.dead_server_grace)?,
            leave_on_terminate: layers.with_default("leave-on-terminate", &args.leave_on_terminate)?,
            start_join_addrs: layers.optional("start-join-addrs", joined(&args.start_join_addrs).as_deref())?,
            bind_addr: layers.with_default("bind-addr", &args.bind_addr)?,
            advertise_host: layers.optional("advertise-host", args.advertise_host.as_deref())?,
            rpc_port: layers.with_default("rpc-port", &args.rpc_port)?,
            http_addr: layers.with_default("http-addr", &args.http_addr)?,
            insecure: layers.with_default("insecure", &args.insecure)?,
            record_bytes_max: layers.with_default("record-bytes-max", &args.record_bytes_max)?,
            batch_bytes_max: layers.with_default("batch-bytes-max", &args.batch_bytes_max)?,
            in_flight_bytes_max: layers.with_default("in-flight-bytes-max", &args.in_flight_bytes_max)?,
            segment_bytes_max: layers.with_default("segment-bytes-max", &args.segment_bytes_max)?,
            reserve_bytes: layers.with_default("reserve-bytes", &args.reserve_bytes)?,
            heartbeat_ms: layers.with_default("heartbeat-ms", &args.heartbeat_ms)?,
            scrub_rate: layers.with_default("scrub-rate", &args.scrub_rate)?,
            not_yet: None,
            shown: Vec::new(),
        };
        let mut not_yet = |name, from, lacks| {
            settings.not_yet.get_or_insert((name, from, lacks));
        };
        for (name, given, lacks) in [
            ("acl-model-file", &args.acl_model_file, NO_ACL),
            ("acl-policy-file", &args.acl_policy_file, NO_ACL),
            ("server-tls-cert-file", &args.server_tls_cert_file, NO_TLS),
            ("server-tls-key-file", &args.server_tls_key_file, NO_TLS),
            ("server-tls-ca-file", &args.server_tls_ca_file, NO_TLS),
            ("peer-tls-cert-file", &args.peer_tls_cert_file, NO_TLS),
            ("peer-tls-key-file", &args.peer_tls_key_file, NO_TLS),
            ("peer-tls-ca-file", &args.peer_tls_ca_file, NO_TLS),
        ] {
            if let Some(set) = layers.optional::<PathBuf>(name, given.as_deref())? {
                not_yet(name, set.from, lacks);
            }
        }
        settings.shown = layers.shown;
        settings.shown.sort_by_key(|shown| NAMES.iter().position(|name| *name == shown.name));
        Ok(settings)
    }

    /// # Errors
    /// What a node cannot be run with, and where it was set.
    pub async fn config(&self) -> Result<Config, BadSetting> {
        if let Some((name, from, lacks)) = &self.not_yet {
            return Err(BadSetting::NotYet { name, from: from.clone(), lacks });
        }
        let data_dir = self.data_dir.as_ref().ok_or(BadSetting::NoDataDir)?;
        let data_dir = std::path::absolute(&data_dir.value).map_err(BadSetting::Dir)?;
        let rpc = HostPort { host: self.bind_addr.value.host.clone(), port: self.rpc_port.value };
        let rpc_addr = resolved("bind-addr", &rpc, &self.bind_addr.from).await?;
        let http_addr = match &self.http_addr.value.0 {
            Some(http) => Some(resolved("http-addr", http, &self.http_addr.from).await?),
            None => None,
        };
        if !self.insecure.value {
            let loopback = "--bind-addr 127.0.0.1:8401";
            refuse_exposed("gRPC", rpc_addr, loopback, &self.bind_addr.from)?;
            if let Some(addr) = http_addr {
                let loopback = "--http-addr 127.0.0.1:8080 (or `none`)";
                refuse_exposed("HTTP", addr, loopback, &self.http_addr.from)?;
            }
        }
        let mut config = Config::new(data_dir, rpc_addr);
        config.http_addr = http_addr;
        if let Some(name) = &self.node_name {
            config.node_name = name.value.clone();
        }
        config.bootstrap = self.bootstrap.value;
        config.bootstrap_expect = self.bootstrap_expect.as_ref().map_or_else(Vec::new, |names| names.value.0.clone());
        config.dead_server_grace = Duration::from_millis(self.dead_server_grace.value.0);
        config.leave_on_stop = self.leave_on_terminate.value;
        let join = self.start_join_addrs.as_ref().map_or(&[][..], |join| &join.value);
        config.join = join.iter().map(ToString::to_string).collect();
        self.gossip(&mut config).await?;
        config.limits = Limits {
            record_bytes_max: bytes(&self.record_bytes_max),
            batch_bytes_max: bytes(&self.batch_bytes_max),
            ..config.limits
        };
        config.in_flight_bytes_max = bytes(&self.in_flight_bytes_max);
        config.log.segment_bytes_max = self.segment_bytes_max.value.0;
        config.reserve_bytes = self.reserve_bytes.value.0;
        config.heartbeat = Duration::from_millis(self.heartbeat_ms.value);
        config.scrub_bytes_per_s = self.scrub_rate.value.0;
        match config.check() {
            Ok(()) => Ok(config),
            Err(bad) => {
                let name = bad.name().replace('_', "-");
                let shown = self.shown.iter().find(|shown| shown.name == name);
                let from = shown.map_or(Source::Default, |shown| shown.from.clone());
                let message =
                    NAMES.iter().fold(bad.to_string(), |message, name| message.replace(&name.replace('-', "_"), name));
                Err(BadSetting::OutOfRange { message, from })
            }
        }
    }
}

impl Settings {
    /// Where it listens, and where the others reach this node.
    async fn gossip(&self, config: &mut Config) -> Result<(), BadSetting> {
        let (bind, from) = (&self.bind_addr.value, &self.bind_addr.from);
        let listens = resolved("bind-addr", bind, from).await?;
        config.gossip_addr = Some(listens);
        let at = |host: &str, port| HostPort { host: host.to_owned(), port };
        let (host, from) = match &self.advertise_host {
            Some(host) => (host.value.clone(), &host.from),
            // It listens everywhere: the others know the machine by its name. One that is alone needs none.
            None if listens.ip().is_unspecified() => {
                let host = machine_name();
                let is_alone = config.join.is_empty() && config.bootstrap_expect.is_empty();
                let is_known = at(&host, bind.port).resolve().await.is_ok();
                (if is_alone && !is_known { Ipv4Addr::LOCALHOST.to_string() } else { host }, from)
            }
            None => return Ok(()),
        };
        // Gossip goes to an address; gRPC is dialled by name, which is looked up each time.
        config.gossip_advertised = Some(resolved("advertise-host", &at(&host, bind.port), from).await?.ip());
        config.rpc_advertised = Some(host);
        Ok(())
    }
}

const NO_ACL: &str = "has no access control yet";
const NO_TLS: &str = "has no TLS yet";

impl Settings {
    /// What decides where `what` listens, for an error.
    pub fn of_listener(&self, what: &str) -> String {
        let Settings { bind_addr, rpc_port, http_addr, .. } = self;
        match what {
            "gossip" => format!("bind-addr: {}", bind_addr.from),
            "gRPC" => format!("bind-addr: {}; rpc-port: {}", bind_addr.from, rpc_port.from),
            _ => format!("http-addr: {}", http_addr.from),
        }
    }
}

async fn resolved(name: &'static str, addr: &HostPort, from: &Source) -> Result<SocketAddr, BadSetting> {
    let no_address = |why| BadSetting::NoAddress { name, given: addr.to_string(), from: from.clone(), why };
    addr.resolve().await.map_err(no_address)
}

fn refuse_exposed(
    what: &'static str,
    addr: SocketAddr,
    loopback: &'static str,
    from: &Source,
) -> Result<(), BadSetting> {
    // ::ffff:127.0.0.1 is loopback too.
    if addr.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(BadSetting::Exposed { what, addr, loopback, from: from.clone() })
}

fn bytes(size: &Set<Size>) -> usize {
    usize::try_from(size.value.0).unwrap_or(usize::MAX)
}

fn machine_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
