//! One page that needs nothing else: the data, and the script that draws it.

use super::{Message, Timeline};
use crate::event::Subject;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

impl Timeline {
    /// The same timeline gives the same bytes.
    pub fn html(&self) -> String {
        let parts = [
            ("{{title}}", escaped(&self.title)),
            ("{{style}}", STYLE.to_owned()),
            ("{{script}}", SCRIPT.to_owned()),
            ("{{data}}", in_script(&self.data())),
        ];
        // The data last: nothing in it is taken for a place to fill in.
        parts.iter().fold(PAGE.to_owned(), |page, (place, part)| page.replace(place, part))
    }

    /// Rows instead of objects, lanes by number, texts without their times: a page of a long run is some megabytes.
    fn data(&self) -> Value {
        let lanes: BTreeMap<Subject, usize> =
            self.lanes.iter().enumerate().map(|(nth, lane)| (lane.subject, nth)).collect();
        let names: Vec<&str> = self.lanes.iter().map(|lane| lane.name.as_str()).collect();
        let nodes: Vec<usize> =
            (1..=self.nodes).filter_map(|number| lanes.get(&Subject::Node(number)).copied()).collect();
        let events =
            self.events.iter().map(|event| json!([event.at_ns, lanes[&event.subject], event.kind, event.text]));
        let messages = self.messages.iter().map(|message| {
            let (sent_ns, arrived_ns) = self.ends(message);
            let (from, to) = (lanes[&message.from], lanes[&message.to]);
            json!([sent_ns, arrived_ns, from, to, message.kind, message.text])
        });
        let bands = self.bands.iter().filter_map(|band| {
            let lane = lanes.get(&band.subject)?;
            Some(json!([band.from_ns, band.to_ns, lane, band.kind, band.text]))
        });
        json!({
            "end": self.end_ns,
            "lanes": names,
            "nodes": nodes,
            "violations": self.violations,
            "events": events.collect::<Vec<_>>(),
            "messages": messages.collect::<Vec<_>>(),
            "bands": bands.collect::<Vec<_>>(),
        })
    }

    /// When a message is drawn to leave and to arrive. Only what its server saw is exact.
    pub(super) fn ends(&self, message: &Message) -> (u64, u64) {
        match message.is_answer {
            true => (message.at_ns, message.at_ns + self.latency_ns_min),
            false => (message.at_ns.saturating_sub(self.latency_ns_min), message.at_ns),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// Whatever is in the data, it must not end the script that it stands in.
fn in_script(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_page_needs_nothing_from_anywhere_and_is_the_same_each_time() {
        let page = sample::timeline().html();
        assert_eq!(page, sample::timeline().html());
        for outside in ["src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest", "{{"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let sources: Vec<&str> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
        assert!(sources.iter().all(|source| *source == "http://www.w3.org/2000/svg"), "{sources:?}");
    }

    #[test]
    fn what_clients_wrote_cannot_end_the_script() {
        let page = sample::timeline().html();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("\\u003c/script>") && page.contains("two \\u003cleaders>"));
    }

    #[test]
    fn its_data_has_every_lane_event_message_band_and_violation() {
        let data = sample::timeline().data();
        let count = |name: &str| data[name].as_array().unwrap().len();
        assert_eq!(["lanes", "events", "messages", "bands", "violations"].map(count), [5, 3, 2, 1, 1]);
    }
}
