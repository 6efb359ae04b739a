//! A client that appends only where it thinks the end is: compare-and-append.

use super::*;
use seedlog_client::Conditions;

pub async fn append(mut maker: Maker) {
    let mut caller = Caller::new(&maker.plan, maker.client);
    let mut expected = 0;
    while !maker.world.stopping() {
        // In a hurry: the end moves on.
        let soon = maker.plan.workload.pause_ms_mean / 8;
        madsim::time::sleep(pause(soon, &mut maker.rng)).await;
        let (call, records) = maker.call(Produce::default());
        let (called_ns, count) = (now_ns(), records.len() as u64);
        let conditions = Conditions { expected_offset: Some(expected), ..Conditions::default() };
        let answer = caller.client().produce_if(records, &conditions).await;
        answered(&maker.world, maker.client, call, &answer);
        match answer {
            Ok(produced) => {
                maker.world.fired("compared_and_appended");
                if produced.first_offset != expected {
                    let what = format!("call {call} expected offset {expected} and got {}", produced.first_offset);
                    maker.world.complain("linearizable", what);
                }
                expected = produced.first_offset + count;
            }
            Err(Error::Server(ApiError::ExpectedOffset { expected: named, next })) => {
                maker.world.fired("compared_and_refused");
                if named != expected || next == expected {
                    let what = format!("call {call} expected {expected}, was told {named} and that {next} is next");
                    maker.world.complain("linearizable", what);
                }
                said(&maker.world, maker.client, called_ns, Said::Next { next });
                expected = next;
            }
            // An unknown one may have moved the end; the next try says.
            Err(_) => {
                caller.failed();
                maker.back_off().await;
            }
        }
    }
}
