//! From a plan that fails to a small one with which the same check fails: without the faults, the operations, the
//! nodes and the time that it can do without.
//!
//! It runs nothing itself: whoever calls it says which of some plans fails.

mod ddmin;
mod smaller;

use crate::plan::Plan;
use ddmin::ddmin;

/// Says which plan is the first of some that still fails the same way; `None` if none does, or if no more is to be tried.
pub trait Trial {
    type Error;

    /// # Errors
    /// If the plans cannot be run at all.
    fn first_failing(&mut self, plans: &[Plan]) -> Result<Option<usize>, Self::Error>;
}

/// The smallest plan that was found, starting from one that fails. Nothing that this module knows to take away
/// can be taken away from it any more, unless the trial gave up before.
///
/// # Errors
/// What the trial says.
pub fn shrink<T: Trial>(failing: &Plan, trial: &mut T) -> Result<Plan, T::Error> {
    let mut least = failing.clone();
    loop {
        let before = least.clone();
        least = without_faults(least, trial)?;
        for step in smaller::STEPS {
            // Each step until it leads no further.
            while let Some(smaller) = step_down(step(&least), trial)? {
                least = smaller;
            }
        }
        if least == before {
            return Ok(least);
        }
    }
}

fn without_faults<T: Trial>(plan: Plan, trial: &mut T) -> Result<Plan, T::Error> {
    let faults = ddmin(plan.faults.clone(), |some: &[Vec<_>]| {
        let plans: Vec<Plan> = some.iter().map(|faults| Plan { faults: faults.clone(), ..plan.clone() }).collect();
        trial.first_failing(&plans)
    })?;
    Ok(Plan { faults, ..plan })
}

fn step_down<T: Trial>(mut plans: Vec<Plan>, trial: &mut T) -> Result<Option<Plan>, T::Error> {
    Ok(trial.first_failing(&plans)?.map(|nth| plans.swap_remove(nth)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, plan};
    use std::convert::Infallible;

    /// Fails with what a closure says, and counts.
    struct Fake<F> {
        fails: F,
        left: usize,
    }

    impl<F: Fn(&Plan) -> bool> Trial for Fake<F> {
        type Error = Infallible;

        fn first_failing(&mut self, plans: &[Plan]) -> Result<Option<usize>, Infallible> {
            let tried = plans.len().min(self.left);
            self.left -= tried;
            Ok(plans[..tried].iter().position(|plan| (self.fails)(plan)))
        }
    }

    fn shrunk(plan: &Plan, budget: usize, fails: impl Fn(&Plan) -> bool) -> Plan {
        assert!(fails(plan), "it fails to begin with");
        let Ok(least) = shrink(plan, &mut Fake { fails: &fails, left: budget });
        assert!(fails(&least), "it still fails");
        least
    }

    /// A plan of three nodes with many faults, among them a power loss.
    fn large() -> Plan {
        let plans = (0..1_000).map(|seed| plan(seed, Some(3), false));
        let has_power_loss = |plan: &Plan| plan.faults.iter().any(|planned| planned.fault.kind() == "power_loss");
        plans.into_iter().find(|plan| plan.faults.len() > 12 && has_power_loss(plan)).expect("among so many seeds")
    }

    #[test]
    fn only_what_is_needed_to_fail_is_left() {
        let is_power_loss = |fault: &Fault| matches!(fault, Fault::PowerLoss { .. });
        let least = shrunk(&large(), usize::MAX, |plan| {
            plan.faults.iter().any(|planned| is_power_loss(&planned.fault)) && plan.workload.producers > 0
        });
        assert_eq!(least.faults.len(), 1);
        assert!(is_power_loss(&least.faults[0].fault));
        let workload = &least.workload;
        assert_eq!((least.nodes, workload.producers, workload.consumers, workload.exactly_once), (1, 1, 0, 0));
        assert_eq!((least.last_power_seed, least.last_rot_seed, least.network.loss_per_mille), (None, None, 0));
        assert!(least.trouble_ms < 1_000, "{}", least.trouble_ms);
    }

    #[test]
    fn nodes_and_two_faults_that_are_needed_together_stay() {
        let kinds = |plan: &Plan| plan.faults.iter().map(|planned| planned.fault.kind()).collect::<Vec<_>>();
        let all = kinds(&large());
        let (one, other) = (all[0], all[all.len() - 1]);
        let least = shrunk(&large(), usize::MAX, |plan| {
            plan.nodes >= 3 && kinds(plan).contains(&one) && kinds(plan).contains(&other)
        });
        assert_eq!(least.nodes, 3);
        assert_eq!(kinds(&least).len(), if one == other { 1 } else { 2 });
    }

    #[test]
    fn what_fails_without_anything_becomes_a_plan_without_anything() {
        let least = shrunk(&large(), usize::MAX, |_| true);
        assert_eq!((least.faults.len(), least.nodes), (0, 1));
        assert_eq!(least.workload.producers + least.workload.consumers, 0);
    }

    #[test]
    fn a_spent_budget_ends_it_with_what_was_found_so_far() {
        let large = large();
        let needs = |plan: &Plan| plan.faults.len() >= 2;
        let least = shrunk(&large, 5, needs);
        assert!(least.faults.len() >= 2 && least != large);
        assert_eq!(shrunk(&large, 0, needs), large);
    }

    #[test]
    fn a_shrunk_plan_survives_its_toml() {
        for fails in [|_: &Plan| true, |plan: &Plan| plan.nodes == 3, |plan: &Plan| !plan.faults.is_empty()] {
            let least = shrunk(&large(), usize::MAX, fails);
            assert_eq!(toml::from_str::<Plan>(&toml::to_string(&least).unwrap()).unwrap(), least);
        }
    }
}
