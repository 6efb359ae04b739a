//! kill -9.

use super::cluster::NODES;
use super::trial::trial;
use std::time::Instant;

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_when_the_leader_is_killed_and_it_comes_back_as_a_follower() {
    trial(|trial| {
        let leader = trial.cluster.leader();
        trial.cluster.kill(leader);
        let killed = Instant::now();
        trial.resumes(killed, "kill -9 of the leader");
        trial.some_more();
        trial.cluster.start(leader);
        trial.cluster.votes(leader);
    });
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_when_a_follower_is_killed_and_it_catches_up() {
    trial(|trial| {
        let [follower, _] = trial.cluster.others(trial.cluster.leader());
        trial.cluster.kill(follower);
        let killed = Instant::now();
        trial.resumes(killed, "kill -9 of a follower");
        trial.some_more();
        trial.cluster.start(follower);
        trial.cluster.votes(follower);
    });
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn when_all_are_killed_at_once_two_are_enough_to_go_on() {
    trial(|trial| {
        (0..NODES).for_each(|number| trial.cluster.kill(number));
        trial.cluster.start(0);
        // Its start counts: a majority is there when the second process is.
        let back = Instant::now();
        trial.cluster.start(1);
        trial.resumes(back, "kill -9 of all three, and a start of two");
        trial.some_more();
        trial.cluster.start(2);
        trial.cluster.votes(2);
    });
}
