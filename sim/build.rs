//! What the last release has on the wire, for nodes that are of it.

use prost::Message as _;
use std::path::PathBuf;

// A build script runs on the machine that builds, past every seam.
#[allow(clippy::disallowed_methods)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTOS: [&str; 3] = ["log/v1/log.proto", "log/v1/admin.proto", "raft/v1/raft.proto"];
    const LAST: &str = "../proto/released/last";

    println!("cargo::rerun-if-changed={LAST}");
    let descriptors = protox::compile(PROTOS, [LAST])?.encode_to_vec();
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("last.bin"), descriptors)?;
    Ok(())
}
