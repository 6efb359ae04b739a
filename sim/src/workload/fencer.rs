//! Clients that take the log for themselves by turns: a newer fencing token, and then records with it until
//! somebody has a newer one.

use super::*;
use crate::history::FenceCall;
use seedlog_client::Conditions;

pub async fn fence(mut maker: Maker) {
    let mut caller = Caller::new(&maker.plan, maker.client);
    while !maker.world.stopping() {
        maker.back_off().await;
        madsim::time::sleep(pause(10 * maker.plan.workload.pause_ms_mean, &mut maker.rng)).await;
        let token = maker.world.lock().history.fences.iter().map(|fence| fence.token).max().unwrap_or(0) + 1;
        let required = maker.rng.random_bool(0.2);
        if !set(&maker.world, caller.client(), maker.client, Fencing { token, required }).await {
            caller.failed();
            continue;
        }
        for _ in 0..maker.rng.random_range(1..20) {
            maker.pause().await;
            let noted = Produce { fencing_token: Some(token), ..Produce::default() };
            let (call, records) = maker.call(noted);
            let called_ns = now_ns();
            let conditions = Conditions { fencing_token: Some(token), ..Conditions::default() };
            let answer = caller.client().produce_if(records, &conditions).await;
            answered(&maker.world, maker.client, call, &answer);
            match answer {
                Ok(_) => {}
                Err(Error::Server(ApiError::Fenced { current, .. })) => {
                    if current <= token {
                        maker.world.complain("linearizable", format!("token {token} was refused for {current}"));
                    }
                    said(&maker.world, maker.client, called_ns, Said::FencedBy { token: current });
                    break;
                }
                Err(_) => {
                    caller.failed();
                    break;
                }
            }
        }
        if required {
            set(&maker.world, caller.client(), maker.client, Fencing { token, required: false }).await;
        }
    }
}

/// Whether it was confirmed.
async fn set(world: &World, client: &Client, number: u32, fencing: Fencing) -> bool {
    let called_ns = now_ns();
    let Fencing { token, required } = fencing;
    let at = {
        let mut world = world.lock();
        world.history.fences.push(FenceCall { token, required, called_ns, returned_ns: None });
        world.history.fences.len() - 1
    };
    let answer = client.fence(fencing).await;
    world.event(format!("client {number} sets token {token}, required {required}: {answer:?}"));
    match answer {
        Ok(()) => {
            world.fired("fence");
            world.lock().history.fences[at].returned_ns = Some(now_ns());
            true
        }
        Err(Error::Server(ApiError::Fenced { current, .. })) => {
            said(world, number, called_ns, Said::FencedBy { token: current });
            false
        }
        Err(_) => false,
    }
}

/// Ends a fence that its client left behind.
pub async fn unfence(mut caller: Caller, world: World) {
    loop {
        let client = caller.fresh();
        let fencing = match client.describe().await {
            Ok(described) => described.fencing.unwrap_or_default(),
            Err(_) => {
                caller.failed();
                madsim::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let free = Fencing { required: false, ..fencing };
        if !fencing.required || set(&world, &client, READER, free).await {
            return;
        }
    }
}
