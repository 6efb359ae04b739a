//! Each value is a record, in the log once, whatever becomes of the servers meanwhile. The same command again, as
//! after a crash, appends nothing:
//!
//! ```sh
//! cargo run -p seedlog-client --example produce -- 127.0.0.1:8400 my-producer one two three
//! ```

use seedlog_client::{Cluster, Conditions, ProducerSequence, Record};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(id)) = (args.next(), args.next()) else {
        return Err("usage: produce ADDRESS[,ADDRESS...] PRODUCER_ID [VALUE ...]".into());
    };
    let cluster = Cluster::connect(address.split(','))?;
    for (sequence, value) in (0..).zip(args) {
        let producer = Some(ProducerSequence { id: id.clone(), sequence, gap_allowed: false });
        let record = Record { value: value.clone().into(), ..Record::default() };
        let produced = cluster.produce_if(vec![record], &Conditions { producer, ..Conditions::default() }).await?;
        let since = if produced.repeated { "was there before" } else { "is appended" };
        println!("{value} {since}, at offset {}", produced.first_offset);
    }
    Ok(())
}
