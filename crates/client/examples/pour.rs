//! Lines into the log, many at a time, in order and each once, whatever becomes of the servers meanwhile:
//!
//! ```sh
//! seq 1000000 | cargo run --release -p seedlog-client --example pour -- 127.0.0.1:8400
//! ```

use seedlog_client::{Cluster, Delivery, ProducerOptions, Record};
use std::error::Error;
use std::io::BufRead as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args().nth(1).ok_or("usage: pour ADDRESS[,ADDRESS...] < LINES")?;
    let producer = Cluster::connect(address.split(','))?.producer(ProducerOptions::default());
    let (sent, mut deliveries) = tokio::sync::mpsc::unbounded_channel::<Delivery>();
    let settling = tokio::spawn(async move {
        let (mut lines, mut written) = (0u64, 0u64);
        while let Some(delivery) = deliveries.recv().await {
            lines += 1;
            match delivery.await {
                Ok(_) => written += 1,
                Err(error) => eprintln!("line {lines}: {error} ({:?})", error.outcome()),
            }
        }
        written
    });
    for line in std::io::stdin().lock().lines() {
        // Waits when too much is on its way.
        let delivery = producer.send(Record { value: line?.into(), ..Record::default() }).await?;
        sent.send(delivery)?;
    }
    drop(sent);
    println!("{} lines are in the log", settling.await?);
    Ok(())
}
