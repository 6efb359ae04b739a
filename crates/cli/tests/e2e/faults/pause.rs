//! SIGSTOP: a process that is there and says nothing, and does not know that time has passed.

use super::trial::trial;
use std::time::Instant;

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_while_the_leader_stands_still_and_when_it_wakes_up_and_thinks_that_it_leads() {
    trial(|trial| {
        let leader = trial.cluster.leader();
        trial.cluster.signal(leader, "-STOP");
        let stopped = Instant::now();
        trial.resumes(stopped, "SIGSTOP of the leader");
        trial.some_more();
        trial.cluster.signal(leader, "-CONT");
        let woken = Instant::now();
        trial.resumes(woken, "SIGCONT of the one that led");
        trial.cluster.votes(leader);
    });
}
