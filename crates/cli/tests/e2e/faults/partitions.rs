//! The leader is cut off from its peers. Clients reach all of them all the while: those on its side must be told
//! nothing that does not hold.

use super::network::Cut;
use super::trial::trial;
use std::time::Instant;

fn the_leader_is_cut_off(cut: Cut, how: &str) {
    trial(|trial| {
        let leader = trial.cluster.leader();
        trial.cluster.cut_off(leader, cut);
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
    the_leader_is_cut_off(Cut::Both, "neither hears its peers nor is heard");
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_is_heard_and_does_not_hear() {
    the_leader_is_cut_off(Cut::In, "is heard by its peers and does not hear them");
}

#[test]
#[ignore = "makes network namespaces: ci/e2e runs it, as root"]
fn writes_go_on_without_a_leader_that_hears_and_is_not_heard() {
    the_leader_is_cut_off(Cut::Out, "hears its peers and is not heard");
}
