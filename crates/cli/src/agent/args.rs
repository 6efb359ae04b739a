//! The flags of `seedlog agent`: names, defaults and help. Values stay text here: flag, environment and
//! file are read by one reader, so that an error names the place it comes from.

use crate::size::Size;
use clap::{Args, ValueHint};
use seedlog_agent::Config;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Each setting comes from its flag, else from its environment variable, else from the file, else it is
the default. The keys of the file are the flags' names; sizes are numbers of bytes, or such as 64MiB:

  data-dir: /var/lib/seedlog          # agent.yaml; in agent.toml: data-dir = \"/var/lib/seedlog\"
  bootstrap: true
  segment-bytes-max: 128MiB

Examples:
  seedlog agent --data-dir /var/lib/seedlog --bootstrap     a node of its own, on loopback
  seedlog agent --data-dir /var/lib/seedlog --bind-addr 10.0.0.2:8401 --insecure \\
      --start-join-addrs 10.0.0.1:8401                      joins the cluster of another node
  seedlog agent --config-file /etc/seedlog/agent.yaml       everything from a file
  SEEDLOG_RPC_PORT=9000 seedlog agent --print-config        what would be used, and where it is from

With --output json the ready line on stdout is an object with rpc_addr, http_addr, data_dir, node_name,
node_id, cluster_id and pid. SIGINT and SIGTERM stop it gracefully (exit code 0): nothing new is
accepted, what is in flight is finished and synced. Exit code 2: the configuration is refused.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Agent {
    /// A file with settings: YAML (.yaml, .yml) or TOML (.toml)
    #[arg(long, env = "SEEDLOG_CONFIG_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config_file: Option<PathBuf>,

    /// Print the effective settings and where each comes from, then exit
    #[arg(long)]
    pub print_config: bool,

    /// Where the log is kept; made if it is not there
    #[arg(long, env = "SEEDLOG_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<String>,

    /// What people call this node [default: this machine's name]
    #[arg(long, env = "SEEDLOG_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// If there is no log yet, begin a new cluster with this node; otherwise nothing
    #[arg(long, env = "SEEDLOG_BOOTSTRAP", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_name = "true|false")]
    pub bootstrap: String,

    /// Names of the nodes that begin a cluster together, once all are there; the first of them begins it
    #[arg(long, env = "SEEDLOG_BOOTSTRAP_EXPECT", value_delimiter = ',', value_name = "NAME,..")]
    pub bootstrap_expect: Vec<String>,

    /// Take a voter out that has been silent for so long, if the others can do without: 30m, 24h, 7d
    #[arg(long, env = "SEEDLOG_DEAD_SERVER_GRACE", default_value = "24h", value_name = "DURATION")]
    pub dead_server_grace: String,

    /// On SIGTERM leave the cluster for good; without it, a stop is a restart to the others
    #[arg(long, env = "SEEDLOG_LEAVE_ON_TERMINATE", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", value_name = "true|false")]
    pub leave_on_terminate: String,

    /// Gossip of nodes of the cluster to join; names are looked up until somebody answers
    #[arg(
        long,
        env = "SEEDLOG_START_JOIN_ADDRS",
        value_delimiter = ',',
        value_name = "HOST:PORT,..",
        help_heading = "Network"
    )]
    pub start_join_addrs: Vec<String>,

    /// Where gossip listens; gRPC listens on the same host
    #[arg(
        long,
        env = "SEEDLOG_BIND_ADDR",
        default_value = "127.0.0.1:8401",
        value_name = "HOST:PORT",
        help_heading = "Network"
    )]
    pub bind_addr: String,

    /// The name or address under which the other nodes reach this one [default: the host of bind-addr]
    #[arg(long, env = "SEEDLOG_ADVERTISE_HOST", value_name = "HOST", help_heading = "Network")]
    pub advertise_host: Option<String>,

    /// Port for gRPC; 0 takes any that is free
    #[arg(long, env = "SEEDLOG_RPC_PORT", default_value = "8400", value_name = "PORT", help_heading = "Network")]
    pub rpc_port: String,

    /// Where HTTP/JSON listens; `none`: nowhere
    #[arg(
        long,
        env = "SEEDLOG_HTTP_ADDR",
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT",
        help_heading = "Network"
    )]
    pub http_addr: String,

    /// Listen beyond loopback without TLS: whoever reaches a port may read and write
    #[arg(long, env = "SEEDLOG_INSECURE", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_name = "true|false", help_heading = "Security")]
    pub insecure: String,

    /// Who may do what: the model
    #[arg(long, env = "SEEDLOG_ACL_MODEL_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub acl_model_file: Option<String>,

    /// Who may do what: the policy
    #[arg(long, env = "SEEDLOG_ACL_POLICY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub acl_policy_file: Option<String>,

    /// Certificate shown to clients
    #[arg(long, env = "SEEDLOG_SERVER_TLS_CERT_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub server_tls_cert_file: Option<String>,

    /// Its key
    #[arg(long, env = "SEEDLOG_SERVER_TLS_KEY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub server_tls_key_file: Option<String>,

    /// The authority that clients' certificates must be from
    #[arg(long, env = "SEEDLOG_SERVER_TLS_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub server_tls_ca_file: Option<String>,

    /// Certificate shown to other nodes
    #[arg(long, env = "SEEDLOG_PEER_TLS_CERT_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub peer_tls_cert_file: Option<String>,

    /// Its key
    #[arg(long, env = "SEEDLOG_PEER_TLS_KEY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub peer_tls_key_file: Option<String>,

    /// The authority that other nodes' certificates must be from
    #[arg(long, env = "SEEDLOG_PEER_TLS_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath,
          help_heading = "Security")]
    pub peer_tls_ca_file: Option<String>,

    /// The largest record: value, key and headers
    #[arg(long, env = "SEEDLOG_RECORD_BYTES_MAX", default_value_t = defaults().record_bytes_max, value_name = "SIZE",
          help_heading = "Limits")]
    pub record_bytes_max: String,

    /// The largest atomic batch of records
    #[arg(long, env = "SEEDLOG_BATCH_BYTES_MAX", default_value_t = defaults().batch_bytes_max, value_name = "SIZE",
          help_heading = "Limits")]
    pub batch_bytes_max: String,

    /// Records taken in and not answered yet, together; more wait their turn
    #[arg(long, env = "SEEDLOG_IN_FLIGHT_BYTES_MAX", default_value_t = defaults().in_flight_bytes_max,
          value_name = "SIZE", help_heading = "Limits")]
    pub in_flight_bytes_max: String,

    /// A segment that would grow past this is closed, and the next one opened
    #[arg(long, env = "SEEDLOG_SEGMENT_BYTES_MAX", default_value_t = defaults().segment_bytes_max, value_name = "SIZE",
          help_heading = "Limits")]
    pub segment_bytes_max: String,

    /// With less free space on the disk than this, records are refused; reading goes on
    #[arg(long, env = "SEEDLOG_RESERVE_BYTES", default_value_t = defaults().reserve_bytes, value_name = "SIZE",
          help_heading = "Limits")]
    pub reserve_bytes: String,

    /// How often a leader shows that it is there; elections start after a few missed ones
    #[arg(long, env = "SEEDLOG_HEARTBEAT_MS", default_value_t = defaults().heartbeat_ms, value_name = "MILLISECONDS",
          help_heading = "Limits")]
    pub heartbeat_ms: String,

    /// The log is read through again and again to find damage, at most so many bytes a second; 0: never
    #[arg(long, env = "SEEDLOG_SCRUB_RATE", default_value_t = defaults().scrub_rate, value_name = "SIZE",
          help_heading = "Limits")]
    pub scrub_rate: String,
}

/// All settings, in the order of the help: what a file may hold.
pub const NAMES: [&str; 27] = [
    "data-dir",
    "node-name",
    "bootstrap",
    "bootstrap-expect",
    "dead-server-grace",
    "leave-on-terminate",
    "start-join-addrs",
    "bind-addr",
    "advertise-host",
    "rpc-port",
    "http-addr",
    "insecure",
    "acl-model-file",
    "acl-policy-file",
    "server-tls-cert-file",
    "server-tls-key-file",
    "server-tls-ca-file",
    "peer-tls-cert-file",
    "peer-tls-key-file",
    "peer-tls-ca-file",
    "record-bytes-max",
    "batch-bytes-max",
    "in-flight-bytes-max",
    "segment-bytes-max",
    "reserve-bytes",
    "heartbeat-ms",
    "scrub-rate",
];

/// What a node has by default, as it would be written.
struct Defaults {
    record_bytes_max: String,
    batch_bytes_max: String,
    in_flight_bytes_max: String,
    segment_bytes_max: String,
    reserve_bytes: String,
    heartbeat_ms: String,
    scrub_rate: String,
}

fn defaults() -> Defaults {
    let config = Config::new(PathBuf::new(), ([127, 0, 0, 1], 0).into());
    Defaults {
        record_bytes_max: Size(config.limits.record_bytes_max as u64).to_string(),
        batch_bytes_max: Size(config.limits.batch_bytes_max as u64).to_string(),
        in_flight_bytes_max: Size(config.in_flight_bytes_max as u64).to_string(),
        segment_bytes_max: Size(config.log.segment_bytes_max).to_string(),
        reserve_bytes: Size(config.reserve_bytes).to_string(),
        heartbeat_ms: config.heartbeat.as_millis().to_string(),
        scrub_rate: Size(config.scrub_bytes_per_s).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_setting_has_a_flag_and_a_variable_of_its_name_and_nothing_else_is_one() {
        let cli = crate::args::Cli::command();
        let agent = cli.find_subcommand("agent").unwrap();
        let settings = agent.get_arguments().filter(|arg| !arg.is_global_set());
        let flags: Vec<(&str, Option<String>)> = settings
            .map(|arg| (arg.get_long().unwrap(), arg.get_env().map(|env| env.to_str().unwrap().to_owned())))
            .filter(|(name, _)| !["config-file", "print-config", "help"].contains(name))
            .collect();
        let wanted = NAMES.map(|name| (name, Some(crate::agent::layers::variable(name))));
        assert_eq!(flags, wanted);
    }
}
