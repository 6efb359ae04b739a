//! The commands that change or describe the log as a whole: names, defaults and help.

use crate::args::Connection;
use crate::moment::Age;
use crate::size::Size;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
The first record kept is then the one at OFFSET; past the end, nothing is kept, and the next record gets
the offset it would have got. It cannot be taken back. Space is freed in whole segments.

Examples:
  seedlog trim 1000                         offsets 0 to 999 are given up
  seedlog trim 1000 --output json | jq .first_offset")]
pub struct Trim {
    /// The first record to keep
    pub offset: u64,

    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Of the servers at --addr the first that answers is the one that does it, with its own copy of the log; it goes on
serving. Nodes do this by themselves, too, slowly (`seedlog agent --scrub-rate`).

Exit code 1: something is damaged, and no other server has it.

Examples:
  seedlog scrub --addr 127.0.0.1:8410
  seedlog scrub --output json | jq .damaged_segments")]
pub struct Scrub {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seedlog describe
  seedlog describe --output json | jq .next_offset")]
pub struct Describe {
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A producer that has been replaced may not know it. Give its successor a higher token and fence with that:
what the old one still sends is refused.

Examples:
  seedlog fence 7                           a produce with --fencing-token 6 is refused from here on
  seedlog fence 7 --required                and so is one without a token
  seedlog produce --fencing-token 7 events")]
pub struct Fence {
    /// Tokens below this one are refused; never below the one that holds now
    pub token: u64,

    /// Refuse a produce without a token, too
    #[arg(long)]
    pub required: bool,

    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What is set replaces what was set before, both bounds together. The leader trims from then on, in whole
segments: what is older or more than this may stay a little longer, and never less is kept.

Examples:
  seedlog retention                         what holds now
  seedlog retention --max-age 7d
  seedlog retention --max-age 36h --max-bytes 10GiB
  seedlog retention --none                  everything is kept")]
pub struct Retention {
    /// Give up records appended longer ago than this, such as 7d or 12h
    #[arg(long, value_name = "AGE", conflicts_with = "none")]
    pub max_age: Option<Age>,

    /// Give up the oldest records when the log takes more than this, such as 10GiB
    #[arg(long, value_name = "SIZE", conflicts_with = "none")]
    pub max_bytes: Option<Size>,

    /// Keep everything
    #[arg(long)]
    pub none: bool,

    #[command(flatten)]
    pub connection: Connection,
}
