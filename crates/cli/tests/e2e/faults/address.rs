//! A node that comes back at another address.

use super::trial::trial;
use std::time::Instant;

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn a_node_that_comes_back_at_another_address_keeps_its_place() {
    trial(|trial| {
        let leader = trial.cluster.leader();
        let [moved, other] = trial.cluster.others(leader);
        let id = trial.cluster.votes(moved);
        trial.cluster.terminate(moved);
        trial.cluster.move_to(moved, 77);
        trial.cluster.start(moved);
        // With the new address, to the leader.
        assert_eq!(trial.cluster.votes(moved), id);
        assert_eq!(trial.cluster.ids().len(), 3);
        trial.some_more();
        // Nothing goes without it now.
        trial.cluster.kill(other);
        let killed = Instant::now();
        trial.resumes(killed, "kill -9 of another one, so that the one that moved is needed");
        trial.some_more();
        trial.cluster.start(other);
        trial.cluster.votes(other);
    });
}
