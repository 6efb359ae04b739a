//! Compiles the protos without protoc: protox parses them, the generators read its descriptor set.

use prost::Message;
use std::path::PathBuf;

// A build script runs on the machine that builds, past every seam.
#[allow(clippy::disallowed_methods)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PUBLIC: &[&str] = &["../../proto/log/v1/log.proto", "../../proto/log/v1/admin.proto"];
    const PEERS: &[&str] = &["../../proto/raft/v1/raft.proto"];
    const INCLUDES: &[&str] = &["../../proto"];

    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    // Reflection tells clients of the public API only.
    for (protos, name) in [(PUBLIC, "descriptors.bin"), (PEERS, "raft.bin")] {
        let descriptors = out_dir.join(name);
        std::fs::write(&descriptors, protox::compile(protos, INCLUDES)?.encode_to_vec())?;
        // `bytes` fields become `Bytes`, so that a record read from the log is never copied to be sent.
        tonic_build::configure()
            .bytes(["."])
            .file_descriptor_set_path(&descriptors)
            .skip_protoc_run()
            .compile_protos(protos, INCLUDES)?;
    }
    Ok(())
}
