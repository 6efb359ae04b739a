//! The leader is cut off from its peers. In most of these clients reach it all the while: they must be told nothing that
//! does not hold.

use super::cluster::Cluster;
use super::network::Cut;
use super::trial::trial;
use std::time::Instant;

fn the_leader_is_cut_off(cut: impl FnOnce(&Cluster, usize) + Send, how: &str) {
    trial(|trial| {
        let leader = trial.cluster.leader();
        cut(&trial.cluster, leader);
        let happened = Instant::now();
        trial.resumes(happened, &format!("the leader {how}"));
        trial.some_more();
        trial.cluster.mend(leader);
        let mended = Instant::now();
        trial.resumes(mended, "the link is mended");
        trial.cluster.votes(leader);
    });
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_is_cut_off_both_ways() {
    the_leader_is_cut_off(|cluster, leader| cluster.cut_off(leader, Cut::Both), "neither hears its peers nor is heard");
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_is_heard_and_does_not_hear() {
    the_leader_is_cut_off(
        |cluster, leader| cluster.cut_off(leader, Cut::In),
        "is heard by its peers and does not hear them",
    );
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_hears_and_is_not_heard() {
    the_leader_is_cut_off(|cluster, leader| cluster.cut_off(leader, Cut::Out), "hears its peers and is not heard");
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_nobody_reaches() {
    the_leader_is_cut_off(Cluster::unplug, "is out of everybody's reach");
}
