//! All records of the log, and those to come, each once and in order:
//!
//! ```sh
//! cargo run -p seedlog-client --example tail -- 127.0.0.1:8400
//! ```

use seedlog_client::{Cluster, Start};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args().nth(1).ok_or("usage: tail ADDRESS[,ADDRESS...]")?;
    let mut tail = Cluster::connect(address.split(','))?.tail(Start::Earliest);
    loop {
        match tail.next().await {
            Ok(record) => println!("{}: {}", record.offset, String::from_utf8_lossy(&record.value)),
            Err(error) => match error.out_of_range() {
                // Trimmed before it could be read.
                Some(valid) if tail.offset().is_some_and(|offset| offset < valid.start) => tail.seek(valid.start),
                // It goes on where it was.
                _ => eprintln!("nothing to read from: {error}"),
            },
        }
    }
}
