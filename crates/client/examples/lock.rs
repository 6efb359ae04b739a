//! A lock that the log keeps: of all who saw it end at the same offset only one can append there.
//!
//! ```sh
//! cargo run -p seedlog-client --example lock -- 127.0.0.1:8400 alice & \
//! cargo run -p seedlog-client --example lock -- 127.0.0.1:8400 bob
//! ```

use seedlog_client::{ApiError, Cluster, Conditions, Error, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(address), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: lock ADDRESS[,ADDRESS...] NAME".into());
    };
    let cluster = Cluster::connect(address.split(','))?;
    let end = cluster.next_offset().await?;
    let claim = Record { value: format!("{name} holds the lock").into(), ..Record::default() };
    let only_here = Conditions { expected_offset: Some(end), ..Conditions::default() };
    match cluster.produce_if(vec![claim], &only_here).await {
        Ok(_) => println!("{name} holds the lock, by the record at offset {end}"),
        Err(Error::Server(ApiError::ExpectedOffset { .. })) => {
            let first = cluster.consume(end).await?;
            println!("{name} came too late: {}", String::from_utf8_lossy(&first.value));
        }
        // It may hold it, or not: what stands at `end` says.
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
