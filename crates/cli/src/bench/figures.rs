//! What was measured, and how it is shown.

use crate::bench::args::{Mode, Shape};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// A call that takes longer is counted as this long.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// The calls of one task.
#[derive(Debug, Clone)]
pub struct Recorder {
    latency_ns: Histogram<u64>,
    records: u64,
    value_bytes: u64,
}

impl Recorder {
    pub fn new() -> Recorder {
        // Three digits: half a microsecond in a millisecond.
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constant");
        Recorder { latency_ns, records: 0, value_bytes: 0 }
    }

    pub fn call(&mut self, latency: Duration, records: u64, value_bytes: u64) {
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.records += records;
        self.value_bytes += value_bytes;
    }

    pub fn add(&mut self, other: &Recorder) {
        self.latency_ns.add(&other.latency_ns).expect("all have the same bounds");
        self.records += other.records;
        self.value_bytes += other.value_bytes;
    }

    /// `elapsed` is from before the first call to after the last answer.
    pub fn figures(&self, elapsed: Duration) -> Figures {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let us = |quantile| self.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            calls: self.latency_ns.len(),
            records: self.records,
            value_bytes: self.value_bytes,
            seconds,
            records_per_s: self.records as f64 / seconds,
            mb_per_s: self.value_bytes as f64 / 1e6 / seconds,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p99_9_us: us(0.999),
            max_us: self.latency_ns.max() as f64 / 1e3,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub calls: u64,
    pub records: u64,
    pub value_bytes: u64,
    pub seconds: f64,
    pub records_per_s: f64,
    pub mb_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

pub fn table(shape: &Shape, figures: &Figures) -> String {
    let call = match shape.mode {
        Mode::Consume => format!("{} records read", shape.batch_records),
        Mode::Batch => format!("one acknowledged batch of {} records", shape.batch_records),
        Mode::Unary | Mode::Stream => "one acknowledged record".to_owned(),
    };
    let heads = ["records/s", "MB/s", "p50", "p99", "p99.9", "max"];
    let cells = [
        format!("{:.0}", figures.records_per_s),
        format!("{:.1}", figures.mb_per_s),
        latency(figures.p50_us),
        latency(figures.p99_us),
        latency(figures.p99_9_us),
        latency(figures.max_us),
    ];
    let row = |cells: [&str; 6]| cells.map(|cell| format!("{cell:>10}")).join("  ");
    format!(
        "{}\n{}\n{} records in {:.2} s, {} in flight; a latency is that of {call}\n",
        row(heads),
        row(cells.each_ref().map(String::as_str)),
        figures.records,
        figures.seconds,
        shape.in_flight,
    )
}

fn latency(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_quantiles_are_of_all_tasks_together() {
        let (mut one, mut other) = (Recorder::new(), Recorder::new());
        for ms in 1..=50 {
            one.call(Duration::from_millis(ms), 2, 2000);
            other.call(Duration::from_millis(50 + ms), 2, 2000);
        }
        one.add(&other);
        let figures = one.figures(Duration::from_secs(2));
        assert_eq!((figures.calls, figures.records, figures.value_bytes), (100, 200, 200_000));
        assert_eq!((figures.records_per_s, figures.mb_per_s), (100.0, 0.1));
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.01;
        assert!(near(figures.p50_us, 50e3) && near(figures.p99_us, 99e3) && near(figures.max_us, 100e3), "{figures:?}");
    }

    #[test]
    fn a_call_that_took_for_ever_is_counted_all_the_same() {
        let mut recorder = Recorder::new();
        recorder.call(Duration::MAX, 1, 1);
        recorder.call(Duration::ZERO, 1, 1);
        assert_eq!(recorder.figures(Duration::from_secs(1)).calls, 2);
    }
}
