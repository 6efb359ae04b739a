//! Each argument is a record, in the log once, whatever becomes of the servers meanwhile:
//!
//! ```sh
//! cargo run -p seedlog-client --example produce -- 127.0.0.1:8400 one two three
//! ```

use seedlog_client::{Cluster, Conditions, ProducerSequence, Record};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().ok_or("usage: produce ADDRESS [VALUE ...]")?;
    let cluster = Cluster::connect([address])?;
    // Nobody else's, so that the sequences may begin at 0. Who wants to go on after a crash keeps both.
    let id = format!("example-{}-{:?}", std::process::id(), std::time::SystemTime::now());
    for (sequence, value) in (0..).zip(args) {
        let producer = Some(ProducerSequence { id: id.clone(), sequence, gap_allowed: false });
        let record = Record { value: value.clone().into(), ..Record::default() };
        let produced = cluster.produce_if(vec![record], &Conditions { producer, ..Conditions::default() }).await?;
        println!("{value} is at offset {}", produced.first_offset);
    }
    Ok(())
}
