//! A rolling restart: what an upgrade does.

use super::cluster::NODES;
use super::trial::trial;
use std::time::Instant;

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_while_one_node_after_the_other_is_stopped_and_started_again() {
    trial(|trial| {
        let before = trial.cluster.ids();
        // The one that leads is the last: so it leads until then, and hands over.
        let leader = trial.cluster.leader();
        for number in (1..=NODES).map(|turn| (leader + turn) % NODES) {
            let told = Instant::now();
            trial.cluster.terminate(number);
            trial.resumes(told, if number == leader { "SIGTERM of the leader" } else { "SIGTERM of a follower" });
            trial.cluster.start(number);
            trial.cluster.votes(number);
        }
        let (mut before, mut after) = (before, trial.cluster.ids());
        before.sort();
        after.sort();
        assert_eq!(before, after, "a restart is no farewell");
    });
}
