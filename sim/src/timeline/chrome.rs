//! The same as a trace in Chrome's JSON, which Perfetto (ui.perfetto.dev) opens: a row for each node and client, bands as
//! slices, events as instants, messages as arrows.

use super::{Timeline, name};
use crate::event::Subject;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Timeline {
    /// A line for each entry, so that it can be looked through with other tools, too.
    pub fn chrome_trace(&self) -> String {
        let mut rows = Rows { trace: Vec::new(), known: BTreeMap::new() };
        for lane in &self.lanes {
            rows.row(lane.subject, "");
        }
        for band in &self.bands {
            // Slices of one row must nest: each kind has its own.
            let row = rows.row(band.subject, band.kind);
            let named = format!("{} {}", band.kind, band.text);
            let (ts, dur) = (us(band.from_ns), us(band.to_ns - band.from_ns));
            rows.trace.push(json!({
                "ph": "X", "name": named.trim_end(), "cat": band.kind, "pid": row.0, "tid": row.1, "ts": ts, "dur": dur,
            }));
        }
        for event in &self.events {
            let row = rows.row(event.subject, "");
            let scope = if event.subject == Subject::World { "g" } else { "t" };
            rows.trace.push(json!({
                "ph": "i", "name": event.text, "cat": event.kind, "pid": row.0, "tid": row.1, "ts": us(event.at_ns), "s": scope,
            }));
        }
        for (id, message) in self.messages.iter().enumerate() {
            let (from, to) = (rows.row(message.from, "messages"), rows.row(message.to, "messages"));
            let (sent_ns, arrived_ns) = self.ends(message);
            for (row, at_ns, flow) in [(from, sent_ns, "s"), (to, arrived_ns, "f")] {
                let (text, kind, ts) = (&message.text, message.kind, us(at_ns));
                // An arrow needs a slice to start from and one to end in.
                rows.trace.push(json!({
                    "ph": "X", "name": text, "cat": kind, "pid": row.0, "tid": row.1, "ts": ts, "dur": 1.0,
                }));
                let mut arrow = json!({
                    "ph": flow, "name": kind, "cat": kind, "id": id, "pid": row.0, "tid": row.1, "ts": ts,
                });
                if flow == "f" {
                    arrow["bp"] = "e".into();
                }
                rows.trace.push(arrow);
            }
        }
        for violation in &self.violations {
            let named = format!("VIOLATION {}: {}", violation.check, violation.what);
            let (pid, tid) = rows.row(Subject::World, "");
            rows.trace.push(json!({
                "ph": "i", "name": named, "cat": "violation", "pid": pid, "tid": tid, "ts": us(violation.at_ns), "s": "g",
            }));
        }
        let lines: Vec<String> = rows.trace.iter().map(Value::to_string).collect();
        let title = Value::from(self.title.as_str());
        format!("{{\"otherData\":{{\"title\":{title}}},\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
    }
}

struct Rows {
    trace: Vec<Value>,
    known: BTreeMap<(Subject, &'static str), u64>,
}

impl Rows {
    /// Process and thread, in Chrome's words: whose row it is and which of theirs.
    fn row(&mut self, subject: Subject, what: &'static str) -> (u64, u64) {
        let pid = match subject {
            Subject::World => 1,
            Subject::Node(number) => 10 + u64::from(number),
            Subject::Client(number) => 1_000 + u64::from(number),
        };
        let count = self.known.keys().filter(|(other, _)| *other == subject).count() as u64;
        let tid = *self.known.entry((subject, what)).or_insert_with(|| {
            if count == 0 {
                let args = json!({ "name": name(subject) });
                self.trace.push(json!({ "ph": "M", "name": "process_name", "pid": pid, "args": args }));
                self.trace.push(
                    json!({ "ph": "M", "name": "process_sort_index", "pid": pid, "args": { "sort_index": pid } }),
                );
            }
            let args = json!({ "name": if what.is_empty() { "events" } else { what } });
            self.trace.push(json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": count, "args": args }));
            count
        });
        (pid, tid)
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use serde_json::Value;

    #[test]
    fn it_is_json_with_every_band_event_message_and_violation() {
        let trace: Value = serde_json::from_str(&sample::timeline().chrome_trace()).unwrap();
        let entries = trace["traceEvents"].as_array().unwrap();
        let count = |ph: &str| entries.iter().filter(|entry| entry["ph"] == ph).count();
        // One band, and both ends of two messages; three events and a violation.
        assert_eq!((count("X"), count("i"), count("s"), count("f")), (5, 4, 2, 2));
        for entry in entries.iter().filter(|entry| entry["ph"] != "M") {
            let is_named = |row: &&Value| row["ph"] == "M" && row["pid"] == entry["pid"] && row["tid"] == entry["tid"];
            assert!(entry["ts"].is_number() && entries.iter().any(|row| is_named(&row)), "{entry}");
        }
        assert!(entries.iter().any(|entry| entry["cat"] == "violation" && entry["ts"] == 2_000_000.0));
    }

    #[test]
    fn an_arrow_starts_before_it_ends() {
        let trace: Value = serde_json::from_str(&sample::timeline().chrome_trace()).unwrap();
        let entries = trace["traceEvents"].as_array().unwrap();
        let end = |ph: &str, id: u64| {
            let found = entries.iter().find(|entry| entry["ph"] == ph && entry["id"] == id).unwrap();
            found["ts"].as_f64().unwrap()
        };
        (0..2).for_each(|id| assert!(end("s", id) < end("f", id)));
    }
}
