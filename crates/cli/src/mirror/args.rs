//! `seedlog mirror`: names, defaults and help.

use crate::args::DEFAULT_ADDR;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Only the copy itself says how far it is, so that the mirror may be stopped, killed and started anywhere, and
nothing is copied twice. Key, headers, timestamp and type stay as they are; offsets are the destination's
own, and where a record was before is in its origins (`consume --json`). Logged to stderr: where it begins,
how far it is, what it waits for. A cluster is not mirrored into itself, nor back to where its records come
from.

Examples:
  seedlog mirror --from eu-1:8400,eu-2:8400 --addr us-1:8400,us-2:8400
  seedlog mirror --from old:8400 --addr new:8400 --once        a move: until all that there is now is copied
  seedlog mirror --from old:8400 --addr new:8400 --status --output json | jq .lag")]
pub struct Mirror {
    /// Nodes of the cluster to copy from; one that answers is enough to find the others
    #[arg(long, value_name = "HOST:PORT,..", required = true, value_delimiter = ',')]
    pub from: Vec<String>,

    /// Nodes of the cluster to copy into
    #[arg(long, default_value = DEFAULT_ADDR, value_name = "HOST:PORT,..", value_delimiter = ',')]
    pub addr: Vec<String>,

    /// Only say how far the copy is
    #[arg(long)]
    pub status: bool,

    /// End when all is copied that there was at the start
    #[arg(long, conflicts_with = "status")]
    pub once: bool,

    /// Begin at this offset of the source, if nothing of it was ever copied
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub start_at: u64,

    /// Go on from this offset of the source, if the destination cannot tell any more how far the copy is
    #[arg(long, value_name = "N")]
    pub resume_at: Option<u64>,

    /// Leave out what the source trimmed before it was copied; otherwise that is an error
    #[arg(long)]
    pub skip_trimmed: bool,

    /// Copy only while the destination's fencing token is not above this one (see `seedlog fence`)
    #[arg(long, value_name = "N")]
    pub fencing_token: Option<u64>,
}
