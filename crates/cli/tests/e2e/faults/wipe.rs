//! A disk that is replaced.

use super::trial::trial;
use std::time::Instant;

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn a_wiped_follower_is_another_node_that_takes_the_place_of_the_dead_one_of_its_name() {
    trial(|trial| {
        let leader = trial.cluster.leader();
        let [wiped, other] = trial.cluster.others(leader);
        let id = trial.cluster.votes(wiped);
        trial.cluster.kill(wiped);
        let killed = Instant::now();
        trial.cluster.wipe(wiped);
        trial.cluster.start(wiped);
        trial.resumes(killed, "kill -9 of a follower that is wiped");
        assert_ne!(trial.cluster.votes(wiped), id, "it must not vote under its old id");
        let ids = trial.cluster.ids();
        assert!(ids.len() == 3 && !ids.contains(&id), "{id} is replaced: {ids:?}");
        trial.some_more();
        // Nothing goes without it now.
        trial.cluster.kill(other);
        let killed = Instant::now();
        trial.resumes(killed, "kill -9 of the other follower, so that the new one is needed");
        trial.some_more();
        trial.cluster.start(other);
        trial.cluster.votes(other);
    });
}
