//! What is written down while a run goes on, if somebody wants to see it.

use super::{Band, Message};
use crate::event::Subject;
use std::collections::{BTreeMap, BTreeSet};

/// Something that holds for somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    pub subject: Subject,
    pub kind: &'static str,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Recording {
    messages: Vec<Message>,
    bands: Vec<Band>,
    /// What each source says holds at the moment, and since when.
    holding: BTreeMap<&'static str, BTreeMap<Condition, u64>>,
}

impl Recording {
    pub fn message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// From now on just these hold, of all that `source` ever speaks of.
    pub fn hold(&mut self, source: &'static str, now_ns: u64, now: BTreeSet<Condition>) {
        let holding = self.holding.entry(source).or_default();
        let (go_on, over) =
            std::mem::take(holding).into_iter().partition(|(condition, _): &(Condition, u64)| now.contains(condition));
        *holding = go_on;
        now.into_iter().for_each(|condition| _ = holding.entry(condition).or_insert(now_ns));
        Self::end(&mut self.bands, over, now_ns);
    }

    fn end(bands: &mut Vec<Band>, over: BTreeMap<Condition, u64>, to_ns: u64) {
        // What came and went at one moment was never there.
        let lasted = over.into_iter().filter(|(_, from_ns)| *from_ns < to_ns);
        bands.extend(lasted.map(|(Condition { subject, kind, text }, from_ns)| Band {
            from_ns,
            to_ns,
            subject,
            kind,
            text,
        }));
    }

    /// All messages in their order, and all bands by their beginnings.
    pub fn into_parts(mut self, end_ns: u64) -> (Vec<Message>, Vec<Band>) {
        for holding in std::mem::take(&mut self.holding).into_values() {
            Self::end(&mut self.bands, holding, end_ns);
        }
        self.bands.sort_by(|one, other| {
            (one.from_ns, one.subject, one.kind, &one.text).cmp(&(
                other.from_ns,
                other.subject,
                other.kind,
                &other.text,
            ))
        });
        (self.messages, self.bands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_as_long_as_its_condition_is_named() {
        let condition =
            |number, text: &str| Condition { subject: Subject::Node(number), kind: "leads", text: text.to_owned() };
        let mut recording = Recording::default();
        recording.hold("raft", 1, [condition(1, "term 1")].into());
        recording.hold("raft", 2, [condition(1, "term 1"), condition(2, "term 2")].into());
        // Another source says nothing of it.
        recording.hold("health", 3, BTreeSet::new());
        recording.hold("raft", 4, [condition(2, "term 2")].into());
        recording.hold("raft", 5, [condition(3, "at once over")].into());
        recording.hold("raft", 5, BTreeSet::new());
        let (_, bands) = recording.into_parts(9);
        let times: Vec<_> = bands.iter().map(|band| (band.subject, band.from_ns, band.to_ns)).collect();
        assert_eq!(times, [(Subject::Node(1), 1, 4), (Subject::Node(2), 2, 5)]);
    }
}
