//! Machines that go down at a point with a name: just before or after a sync, a rename, a removal, an ack.

use super::{Action, Armed, Supervisor};
use crate::machine::Signal;
use crate::plan::{At, Point, Where};
use seedlog_runtime::sim::{self, Moment};

impl Supervisor {
    pub(super) fn crash_at_point(
        &mut self,
        at: usize,
        point: Point,
        skip: u64,
        when: At,
        armed: Armed,
        within_ms: u64,
    ) {
        let node = &mut self.nodes[at];
        match point.place() {
            Where::Disk(place) => {
                node.armed = Some(armed);
                node.machine.disk.arm_crash_at(place, skip, when.into());
            }
            Where::Answer(methods) => {
                node.armed_answer = Some(armed);
                let moment = if when == At::After { Moment::After } else { Moment::Before };
                let down = node.machine.signal();
                sim::crash_at_answer(node.machine.id, methods, skip, moment, move || down(Signal::AnswerDown));
            }
        }
        self.after_ms(within_ms, Action::Disarm { at, armed });
    }

    /// It did not come to it.
    pub(super) fn disarm(&mut self, at: usize, armed: Armed) {
        let node = &mut self.nodes[at];
        if node.armed == Some(armed) {
            node.armed = None;
            node.machine.disk.disarm_crash();
        }
        if node.armed_answer == Some(armed) {
            node.forget_answer();
        }
    }
}
