//! Compiles the protos without protoc: protox parses them, the generators read its descriptor set.

use prost::Message;
use std::path::PathBuf;

// A build script runs on the machine that builds, past every seam.
#[allow(clippy::disallowed_methods)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTOS: &[&str] = &["../../proto/log/v1/log.proto", "../../proto/log/v1/admin.proto"];
    const INCLUDES: &[&str] = &["../../proto"];

    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(&descriptors, protox::compile(PROTOS, INCLUDES)?.encode_to_vec())?;

    // `bytes` fields become `Bytes`, so that a record read from the log is never copied to be sent.
    tonic_build::configure()
        .bytes(["."])
        .file_descriptor_set_path(&descriptors)
        .skip_protoc_run()
        .compile_protos(PROTOS, INCLUDES)?;
    Ok(())
}
