//! What one run of one client measured. `seedlog bench --output json` says the same and more.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

const LATENCY_MAX_NS: u64 = 600_000_000_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub records: u64,
    #[serde(default)]
    pub warm_up_records: u64,
    pub records_per_s: f64,
    pub mb_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    /// Processor time of the server for one record, user and system; measured from outside.
    #[serde(default)]
    pub server_cpu_us: Option<f64>,
}

/// Calls of a closed loop: first the warm-up, then what counts.
#[derive(Debug, Clone)]
pub struct Recorder {
    warm_until: Instant,
    until: Instant,
    latency_ns: Histogram<u64>,
    records: u64,
    warm_up_records: u64,
    value_bytes: u64,
}

impl Recorder {
    pub fn start(warm_up: Duration, seconds: Duration) -> Recorder {
        let warm_until = Instant::now() + warm_up;
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constant");
        Recorder { warm_until, until: warm_until + seconds, latency_ns, records: 0, warm_up_records: 0, value_bytes: 0 }
    }

    /// One that counts in the same time.
    pub fn beside(&self) -> Recorder {
        let Recorder { warm_until, until, .. } = *self;
        Recorder { warm_until, until, ..Recorder::start(Duration::ZERO, Duration::ZERO) }
    }

    /// Whether another call may be made.
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// A call answered now. Answers after the end are left out of the rate, and so is their time.
    pub fn call(&mut self, made: Instant, records: u64, value_bytes: u64) {
        let now = Instant::now();
        if now < self.warm_until {
            self.warm_up_records += records;
        } else if now < self.until {
            self.latency_ns.saturating_record((now - made).as_nanos().max(1) as u64);
            self.records += records;
            self.value_bytes += value_bytes;
        }
    }

    pub fn add(&mut self, other: &Recorder) {
        self.latency_ns.add(&other.latency_ns).expect("all have the same bounds");
        self.records += other.records;
        self.warm_up_records += other.warm_up_records;
        self.value_bytes += other.value_bytes;
    }

    pub fn figures(&self) -> Figures {
        let seconds = (self.until - self.warm_until).as_secs_f64();
        let us = |quantile| self.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            records: self.records,
            warm_up_records: self.warm_up_records,
            records_per_s: self.records as f64 / seconds,
            mb_per_s: self.value_bytes as f64 / 1e6 / seconds,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p99_9_us: us(0.999),
            server_cpu_us: None,
        }
    }
}

/// As the log's own client fills its records: not all the same byte, since a file system may compress.
pub fn value(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_answered_in_the_measured_time_counts() {
        let hour = Duration::from_secs(3600);
        let made = Instant::now();
        let mut warming = Recorder::start(hour, hour);
        warming.call(made, 3, 30);
        assert!(warming.goes_on());
        assert_eq!((warming.figures().records, warming.figures().warm_up_records), (0, 3));
        let mut counting = Recorder::start(Duration::ZERO, hour);
        counting.call(made, 7200, 7_200_000_000);
        let figures = counting.figures();
        assert_eq!((figures.records, figures.records_per_s, figures.mb_per_s), (7200, 2.0, 2.0));
        let mut over = Recorder::start(Duration::ZERO, Duration::ZERO);
        over.call(made, 1, 1);
        assert!(!over.goes_on());
        assert_eq!(over.figures().records, 0);
    }

    #[test]
    fn what_the_command_prints_is_understood() {
        let printed = r#"{"addr":"a:1","mode":"unary","warm_up_records":2,"records":5,"records_per_s":1.5,
            "mb_per_s":0.1,"p50_us":1.0,"p99_us":2.0,"p99_9_us":3.0,"max_us":4.0}"#;
        let figures: Figures = serde_json::from_str(printed).unwrap();
        assert_eq!((figures.records, figures.warm_up_records, figures.p99_9_us), (5, 2, 3.0));
    }
}
