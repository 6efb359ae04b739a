//! What holds at the moment, for who looks at a run.

use super::{Supervisor, Watched};
use crate::event::Subject;
use crate::timeline::Condition;
use std::collections::BTreeSet;

impl Supervisor {
    pub(super) fn conditions(&self) -> BTreeSet<Condition> {
        let mut now = BTreeSet::new();
        for node in &self.nodes {
            let subject = Subject::Node(node.machine.number);
            let mut hold = |kind, text| _ = now.insert(Condition { subject, kind, text });
            states(node).into_iter().for_each(|(kind, text)| hold(kind, text));
            let cut = self.cut_from(node);
            if !cut.is_empty() {
                hold("cut", cut);
            }
        }
        if self.storms > 0 {
            now.insert(Condition { subject: Subject::World, kind: "storm", text: String::new() });
        }
        now
    }

    /// `>2`: node 2 does not hear it; `<2`: it does not hear node 2; `clients`: one of them is cut off.
    fn cut_from(&self, node: &Watched) -> String {
        let (here, mut cut) = (node.machine.id, Vec::new());
        for other in self.machines().filter(|other| other.number != node.machine.number) {
            match (self.links.is_cut((here, other.id)), self.links.is_cut((other.id, here))) {
                (true, true) => cut.push(format!("<>{}", other.number)),
                (true, false) => cut.push(format!(">{}", other.number)),
                (false, true) => cut.push(format!("<{}", other.number)),
                (false, false) => {}
            }
        }
        let is_cut = |client: &_| self.links.is_cut((*client, here)) || self.links.is_cut((here, *client));
        if self.clients.iter().any(is_cut) {
            cut.push("clients".to_owned());
        }
        cut.join(" ")
    }
}

fn states(node: &Watched) -> Vec<(&'static str, String)> {
    let states = [
        ("down", !node.machine.is_up()),
        ("paused", node.paused),
        ("stopping", node.stopping.is_some()),
        ("slow disk", node.slow),
        ("full disk", node.full),
        ("failing disk", node.failing > 0),
    ];
    let holding = states.into_iter().filter(|(_, holds)| *holds).map(|(kind, _)| (kind, String::new()));
    let skew = node.skew;
    let clock = (skew.rate != 1.0 || skew.wall_offset_ms != 0)
        .then(|| ("clock", format!("x{} {:+} ms", skew.rate, skew.wall_offset_ms)));
    holding.chain(clock).collect()
}
