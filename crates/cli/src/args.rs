//! The command line: names, defaults and help. No behaviour.

use crate::admin::args::{Describe, Fence, Retention, Scrub, Trim};
pub use crate::agent::args::Agent;
pub use crate::host_port::HostPort;
use crate::moment::{Age, Moment};
use crate::shell::{Completions, Man};
use crate::size::Size;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use std::str::FromStr;

pub const RPC_PORT: u16 = 8400;
pub const DEFAULT_ADDR: &str = "127.0.0.1:8400";

const AFTER_HELP: &str = "\
To try it, start a node in one terminal and talk to it in another:
  seedlog dev                                    a node on loopback, in a temporary directory
  seedlog produce access.log                     one record a line
  seedlog consume --from 10 -n 5                 five values from offset 10, one a line
  seedlog consume --follow | grep ERROR          everything, and then what comes
  seedlog status --output json | jq .servers

To run it as a service:
  seedlog agent --data-dir /var/lib/seedlog --bootstrap
  seedlog verify /var/lib/seedlog                is every byte what was written? (node stopped)

Data goes to stdout, all else to stderr.

Exit codes:
  0  done (also when the reader of stdout went away)
  1  failed: stderr says what; `verify`: damage was found
  2  wrong usage; `verify`: not a data directory, or in use by a node
  3  `produce`: records were sent and not answered, so whether they are in the log is unknown;
     what is known is in the summary";

/// A durable commit log: records are appended, kept in order, and read by offset.
#[derive(Debug, Parser)]
#[command(name = "seedlog", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// What results look like on stdout
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// What is logged to stderr, e.g. `info` or `seedlog_raft=debug` [default: warn; agent, dev, mirror: info]
    #[arg(long, global = true, env = "SEEDLOG_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a node on loopback, or a cluster of them, to try things out
    Dev(Dev),
    /// Runs a node as a service, configured by flags, environment and a file
    Agent(Box<Agent>),
    /// Appends the lines of a file, or of stdin: one record a line
    Produce(Produce),
    /// Prints records: their values, one a line
    Consume(Consume),
    /// Prints what the servers say of themselves
    Status(Status),
    /// Lists the cluster's servers: who leads, and how far behind the others are
    Servers(Servers),
    /// Lists every node that the cluster has, or has heard of: its part, and whether it is there
    Members(Members),
    /// Takes a server out of the cluster
    Remove(Remove),
    /// Puts a server in the place of one that votes
    Replace(Replace),
    /// Hands the leadership to another server
    TransferLeader(TransferLeader),
    /// Prints what the log holds, and what holds for it
    Describe(Describe),
    /// Gives up the records before an offset
    Trim(Trim),
    /// Shows or sets how long, and how much, is kept
    Retention(Retention),
    /// Refuses producers that were replaced
    Fence(Fence),
    /// Copies another cluster's log into this one, each record once, and goes on
    Mirror(crate::mirror::args::Mirror),
    /// Has a node read through its log, and put right what is damaged
    Scrub(Scrub),
    /// Checks every byte of a stopped node's data directory, changing nothing
    Verify(Verify),
    /// Measures how fast a node acknowledges and hands out records
    Bench(crate::bench::args::Bench),
    /// Prints a shell's completions
    Completions(Completions),
    /// Prints a man page
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --output json the ready line on stdout is an object with rpc_addr, http_addr, data_dir and pid.
SIGINT and SIGTERM stop it gracefully: what is in flight is finished and synced.

With --nodes each node is a process of its own, node-1, node-2 and so on, with a directory of that name and its
share of the processors (TOKIO_WORKER_THREADS, unless that is set here). The next one's gRPC port is 10 higher,
its HTTP port 1 higher; gossip is at the port after gRPC's. The ready line then has nodes (each with name,
rpc_addr, http_addr, data_dir and pid), leader, data_dir and pid. A node that is killed or asked to stop leaves
the others running; one that fails ends them all.

Examples:
  seedlog dev                                 in a temporary directory
  seedlog dev --data-dir ./data               one that stays
  seedlog dev --nodes 3                       a cluster: 8400, 8410, 8420; HTTP 8080, 8081, 8082
  seedlog dev --rpc-port 0 --http-addr 127.0.0.1:0 --output json     on ports that are free")]
pub struct Dev {
    /// Where the log is kept; without it a temporary directory, removed at exit
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// How many nodes
    #[arg(long, default_value = "1", value_name = "N",
          value_parser = PossibleValuesParser::new(["1", "3", "5"]).map(|nodes| nodes.parse::<u16>().unwrap_or(1)))]
    pub nodes: u16,

    /// Keep the temporary directory
    #[arg(long, conflicts_with = "data_dir")]
    pub keep: bool,

    /// Port on 127.0.0.1 for gRPC; 0 takes any that is free
    #[arg(long, default_value_t = RPC_PORT, value_name = "PORT")]
    pub rpc_port: u16,

    /// Address for HTTP; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub http_addr: HostPort,
}

#[derive(Debug, Args)]
pub struct Connection {
    /// A node's gRPC address; of several, separated by commas, one that answers is enough
    #[arg(long, default_value = DEFAULT_ADDR, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub addr: Vec<String>,
}

impl Connection {
    pub fn shown(&self) -> String {
        self.addr.join(",")
    }
}

#[derive(Debug, Args)]
pub struct Patience {
    /// Give up when nothing has come of it for so long, such as 1m [default: 30s; at once, if there is only one server]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Age>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The newline is not part of a record; a last line without one is a record too; an empty file has none.
The summary names the first and the last offset that were acknowledged, that is: fsynced.

With --producer-id each record is a request of its own. When it is not known what became of some records
(exit code 3), send them again with the sequence they had: those that are in the log stay as they are. The
last 64 of a producer are recognised; sending again from further back is refused, with the sequence to go
on from.

Whatever becomes of the servers meanwhile, each line goes in once: what was not answered is sent again, to
whoever leads then.

Examples:
  seedlog produce access.log
  seedlog produce --addr 10.0.0.1:8400,10.0.0.2:8400,10.0.0.3:8400 access.log
  seedlog produce --whole --key logo --header content-type=image/png logo.png
  seedlog consume --json --addr old:8400 | seedlog produce --json --addr new:8400
  seedlog produce --producer-id import-1 events        run again, it appends nothing twice
  seedlog produce --expect-offset 0 genesis            only into an empty log")]
pub struct Produce {
    /// The file to read; `-` is stdin
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// The key of every record
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,

    /// A header of every record; may be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,

    /// Each line is a record in JSON, as `consume --json` prints it
    #[arg(long)]
    pub json: bool,

    /// The whole input is one record, newlines and all
    #[arg(long, conflicts_with = "json")]
    pub whole: bool,

    /// Exactly once: records that this producer sent before are not appended again
    #[arg(long, value_name = "ID", help_heading = "Conditions")]
    pub producer_id: Option<String>,

    /// The first record's number, counted by the producer over all it ever sends [default: 0]
    #[arg(long, value_name = "N", requires = "producer_id", help_heading = "Conditions")]
    pub sequence: Option<u64>,

    /// Append only if the first record gets this offset, and the others those after it
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    pub expect_offset: Option<u64>,

    /// Append only while the log's fencing token is not above this one (see `seedlog fence`)
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    pub fencing_token: Option<u64>,

    #[command(flatten)]
    pub connection: Connection,

    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --follow it ends at the end the log had when it began.
From a time: the first record appended then or later. With --output json each line is an object with
offset, value (base64), term, append_time_ms, and what else the record has: key, headers, timestamp_ms, type.
When a server goes, another one is read from, from the next record on.

Examples:
  seedlog consume --from 10 -n 5
  seedlog consume --follow --addr 10.0.0.1:8400,10.0.0.2:8400,10.0.0.3:8400
  seedlog consume --from -1h --follow                  the last hour, and what comes
  seedlog consume --from 2026-11-24T10:00:00Z --json | jq -r '.value | @base64d'")]
pub struct Consume {
    /// `earliest`, `latest`, an offset, or a time: RFC 3339, @seconds since 1970, or ago, such as -1h
    #[arg(long, default_value = "earliest", value_name = "WHERE", allow_hyphen_values = true)]
    pub from: From,

    /// Stop after so many records
    #[arg(short = 'n', long = "count", value_name = "N")]
    pub count: Option<u64>,

    /// Stop before the values take more than so many bytes together, such as 10MiB; one is printed anyway
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<Size>,

    /// Print JSON, as --output json does
    #[arg(long)]
    pub json: bool,

    /// Go on with what is appended later
    #[arg(long, short)]
    pub follow: bool,

    #[command(flatten)]
    pub connection: Connection,

    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Debug, Args)]
#[command(after_help = "\
LAG is how many entries of the leader's log a server does not have, as far as the leader knows. With
--output json it is a list of objects with id, name, rpc_addr, is_leader, role, matched_index and lag; null
is what is not known.

Examples:
  seedlog servers
  seedlog servers --output json | jq -r '.[] | select(.is_leader).rpc_addr'")]
pub struct Servers {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Any server may be asked; the leader does it, and answers when it is committed. One that is removed is sent
nothing any more. A server that comes back under a new address need not be removed: it keeps its place.

Examples:
  seedlog remove node-3
  seedlog remove 00c0ffee00c0ffee --addr 127.0.0.1:8410")]
pub struct Remove {
    /// A server's id, or its name if no other has it: see `seedlog servers`
    #[arg(value_name = "ID")]
    pub server: String,

    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
ROLE is Raft's word: leader, voter, learner (it is sent the log, and does not vote yet), or stranger: no
member. STATE is what the server at --addr has heard by gossip: alive, left (it said goodbye), or dead (it
fell silent), and for how long. Neither follows from the other: a dead voter stays a voter for a long grace.
With --output json it is a list of objects with id, name, role, rpc_addr, cluster_id, gossip_addr, state and
gone_ms; null is what gossip does not say.

Examples:
  seedlog members
  seedlog members --output json | jq -r '.[] | select(.state != \"alive\").name'")]
pub struct Members {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One change: the old one votes no more, and leaves the cluster, when the new one votes. The new one must be
there, of this cluster and no voter yet: a learner, or one that was taken out before. It is sent what it
lacks of the log first; if that takes longer than a few seconds, run it again. It is refused if no majority
of the voters would be there. A machine that comes back with an empty disk and its old name does this by
itself.

Examples:
  seedlog replace node-3 node-4
  seedlog replace 00c0ffee00c0ffee node-3 --addr 127.0.0.1:8410")]
pub struct Replace {
    /// The voter that goes: its id, or its name if no other voter has it
    #[arg(value_name = "OLD")]
    pub old: String,

    /// Who takes its place: an id, or a name if no other has it; see `seedlog members`
    #[arg(value_name = "NEW")]
    pub new: String,

    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Any server may be asked. It is over when the other one leads.

Examples:
  seedlog transfer-leader                   before the leader's machine is taken down
  seedlog transfer-leader node-2")]
pub struct TransferLeader {
    /// A voter's id, or its name if no other has it; without it the voter whose log is furthest
    #[arg(value_name = "ID")]
    pub server: Option<String>,

    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The server at --addr says what it knows (of several, the first that answers); if another one leads and can be reached, that one is asked, too.
With --output json a server that answered also says its heartbeat_ms, and sync_us: what a sync of its disk
took when it started. If the heartbeat is too small for that, stderr says so, and what to set.

Examples:
  seedlog status
  seedlog status --addr 127.0.0.1:8400 --output json | jq .servers")]
pub struct Status {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 sound, 1 damage was found, 2 not checked: no data directory, or in use by a node.

Examples:
  seedlog verify /var/lib/seedlog
  seedlog verify ./copy --output json | jq .damage")]
pub struct Verify {
    /// The data directory of a node that is not running
    pub dir: PathBuf,
    /// Another one of the same cluster, whose log must have the same entries; may be given several times
    #[arg(long, value_name = "DIR")]
    pub compare: Vec<PathBuf>,
}

/// Where a consume starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Earliest,
    Latest,
    Offset(u64),
    Time(Moment),
}

#[derive(Debug, PartialEq, Eq)]
pub struct BadFrom {
    given: String,
}

impl std::fmt::Display for BadFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} is neither `earliest`, `latest`, an offset (0, 1, 2, ...) nor a time (2026-11-24T10:00:00Z, \
             @1764000000, -1h)",
            self.given
        )
    }
}

impl std::error::Error for BadFrom {}

impl FromStr for From {
    type Err = BadFrom;

    fn from_str(given: &str) -> Result<From, BadFrom> {
        match given {
            "earliest" => Ok(From::Earliest),
            "latest" => Ok(From::Latest),
            other => match (other.parse(), other.parse()) {
                (Ok(offset), _) => Ok(From::Offset(offset)),
                (Err(_), Ok(moment)) => Ok(From::Time(moment)),
                _ => Err(BadFrom { given: given.to_owned() }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_start_is_a_word_or_an_offset() {
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert_eq!("latest".parse(), Ok(From::Latest));
        assert_eq!("18446744073709551615".parse(), Ok(From::Offset(u64::MAX)));
        for given in ["", "-1", "first", "1.5", "18446744073709551616"] {
            let error = given.parse::<From>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{given:?} is neither")), "{error}");
        }
        assert_eq!("@5".parse(), Ok(From::Time(Moment::At(5000))));
        assert_eq!("-2s".parse(), Ok(From::Time(Moment::Ago(2000))));
    }

    #[test]
    fn the_help_shows_examples_and_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Exit codes:") && help.contains("seedlog produce access.log"), "{help}");
    }
}
