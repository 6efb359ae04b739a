//! What a node counts, for Prometheus and whatever else reads OpenMetrics.
//!
//! A registry lives for one scrape: the numbers are the node's, and are looked up when they are asked for. What a node
//! does not know yet is left out, and not given as 0. Counters begin at 0 with each start of the node, when it opens its
//! ports, and go on when it serves.

use super::health;
use crate::servers::shown_id;
use crate::service::Service;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use seedlog_raft::{Healed, Node, Role, Status, Tallied, Tally};
use std::time::Duration;

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of a node that serves.
pub fn metrics(service: &Service) -> Response {
    let (node, status) = (service.node(), service.node().status());
    let (node_id, cluster_id) = (shown_id(status.node_id), format!("{:032x}", service.cluster_id()));
    let mut page = Page::new();
    page.info("node", "Which node this is", &[("node_id", &node_id), ("cluster_id", &cluster_id)]);
    page.ready(health::not_ready(service).is_empty());
    page.place(&status);
    page.loss(node);
    page.tallied(&node.tally().now());
    page.response()
}

/// Of one whose log is not open yet, and may have to be repaired first.
pub fn while_starting(tally: &Tally) -> Response {
    let mut page = Page::new();
    page.ready(false);
    page.tallied(&tally.now());
    page.response()
}

struct Page {
    registry: Registry,
}

impl Page {
    fn new() -> Page {
        let mut page = Page { registry: Registry::with_prefix("seedlog") };
        page.info("build", "What runs here", &[("version", VERSION)]);
        page
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&'static str, &str)]) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.registry.register(name, help, Info::new(labels));
    }

    fn ready(&mut self, is_ready: bool) {
        self.flag("ready", "Whether it leads or knows a leader, and has applied what came before", is_ready);
    }

    fn place(&mut self, status: &Status) {
        self.flag("is_leader", "Whether it leads", status.role == Role::Leader);
        self.gauge("term", "The Raft term that it is in", status.term);
        self.index("last_index", "Of the last entry of its Raft log", status.last_index);
        self.index("committed_index", "Of the last entry that it knows to be committed", status.committed_index);
        self.index("applied_index", "Of the last entry that it has applied", status.applied_index);
        self.gauge("first_offset", "Of the first record that is kept", status.first_offset);
        self.gauge("next_offset", "That the next record will have, by what it has applied", status.next_offset);
    }

    /// What was lost while it ran, or without a trace.
    fn loss(&mut self, node: &Node) {
        let Healed { segments, entries, given_up } = node.healed();
        self.counter("healed_segments", "Damaged segments that were made whole again while it ran", segments);
        self.counter("healed_entries", "Entries that others gave for damaged segments while it ran", entries);
        self.counter(
            "heal_given_up",
            "Tries to have back what is lost that found that nobody has it; each try counts",
            given_up,
        );
        let ailing = node.ailing();
        self.flag(
            "ailing",
            "Whether something is lost that others may have and that a first try did not bring back",
            ailing.is_some(),
        );
        let since = ailing.unwrap_or(Duration::ZERO).as_secs_f64();
        self.seconds("ailing", "Since when that is so; 0: it is not", since);
        let marked =
            "Whether it has lost the end of its log, and gives no votes until it has all that it may have acknowledged";
        self.flag("marked", marked, node.is_marked());
        let lost =
            "Entries that it had acknowledged and that its disk has lost without a trace, as leaders told it, at least";
        self.counter("lost_without_a_trace_entries", lost, node.lost_without_a_trace());
    }

    fn tallied(&mut self, tallied: &Tallied) {
        self.flag("repairing", "Whether it starts, and repairs its log before it serves", tallied.is_repairing);
        let repaired = "Entries that others gave to repair the log at the start, used or not";
        self.counter("repaired_entries", repaired, tallied.repaired_entries);
        self.counter("lent_entries", "Entries that it gave to others for their repair", tallied.lent_entries);
        let scrubbed = "Bytes of the log that scrubs have read and that are what was written";
        self.bytes("scrubbed", scrubbed, tallied.scrubbed_bytes);
        self.counter("scrub_passes", "Scrubs that came to the end of the log", tallied.scrub_passes);
        let damaged = "Segments in which scrubs found damage; one that stays damaged counts in each pass";
        self.counter("scrub_damaged_segments", damaged, tallied.scrub_damaged_segments);
        if let Some(ms) = tallied.scrub_ended_ms {
            let ended = "Unix time at which a scrub last came to the end of the log";
            self.seconds("scrub_ended_timestamp", ended, ms as f64 / 1000.0);
        }
    }

    fn flag(&mut self, name: &str, help: &str, holds: bool) {
        self.gauge(name, help, holds.into());
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.registry.register(name, help, ConstGauge::new(value));
    }

    /// Left out if there is no such entry: the first one's is 0.
    fn index(&mut self, name: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) {
        self.registry.register_with_unit(name, help, Unit::Seconds, ConstGauge::new(value));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.registry.register(name, help, ConstCounter::new(value));
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) {
        self.registry.register_with_unit(name, help, Unit::Bytes, ConstCounter::new(value));
    }

    fn response(self) -> Response {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        let mut response = Response::new(Body::from(text));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::{Front, Stage};
    use crate::heard::NoHearsay;
    use crate::http::answer::tests::text;
    use crate::http::routes;
    use crate::limits::Limits;
    use crate::stopping::Stopping;
    use axum::extract::Request;
    use seedlog_raft::NodeConfig;
    use seedlog_runtime::disk::{Disk as _, SimDisk};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const FROM_THE_START_ON: [(&str, &str); 8] = [
        ("seedlog_build", "info"),
        ("seedlog_ready", "gauge"),
        ("seedlog_repairing", "gauge"),
        ("seedlog_repaired_entries", "counter"),
        ("seedlog_lent_entries", "counter"),
        ("seedlog_scrubbed_bytes", "counter"),
        ("seedlog_scrub_passes", "counter"),
        ("seedlog_scrub_damaged_segments", "counter"),
    ];
    const WITH_A_LOG: [(&str, &str); 15] = [
        ("seedlog_node", "info"),
        ("seedlog_is_leader", "gauge"),
        ("seedlog_term", "gauge"),
        ("seedlog_last_index", "gauge"),
        ("seedlog_committed_index", "gauge"),
        ("seedlog_applied_index", "gauge"),
        ("seedlog_first_offset", "gauge"),
        ("seedlog_next_offset", "gauge"),
        ("seedlog_healed_segments", "counter"),
        ("seedlog_healed_entries", "counter"),
        ("seedlog_heal_given_up", "counter"),
        ("seedlog_ailing", "gauge"),
        ("seedlog_ailing_seconds", "gauge"),
        ("seedlog_marked", "gauge"),
        ("seedlog_lost_without_a_trace_entries", "counter"),
    ];
    const AFTER_A_SCRUB: (&str, &str) = ("seedlog_scrub_ended_timestamp_seconds", "gauge");

    fn starting() -> Stage {
        Front::new("127.0.0.1:8400", "it reads its log", Stopping::default()).stage().borrow().clone()
    }

    /// A node with one record, whose log nobody reads but the test.
    async fn serving() -> Service {
        serving_from(&SimDisk::new(1)).await
    }

    async fn serving_from(disk: &SimDisk) -> Service {
        disk.create_dir_all("/groups/0".as_ref()).unwrap();
        let mut config = NodeConfig { scrub_bytes_per_s: 0, ..NodeConfig::new(0xA, 0xC, "127.0.0.1:8400") };
        config.log.segment_bytes_max = 4096;
        let node = Node::start(Arc::new(disk.clone()), "/groups/0".into(), config).await.unwrap();
        node.ready().await.unwrap();
        node.produce(vec!["a record".into()]).await.unwrap();
        let (rpc_addr, stopping) = ("127.0.0.1:8400".to_owned(), Stopping::default());
        Service::new(node, 0xC, rpc_addr, Limits::default(), stopping, Box::new(NoHearsay))
    }

    async fn scrape(stage: Stage) -> String {
        let response = routes::answer(stage, Request::get("/metrics").body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        let (status, text) = text(response).await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// By the names of families.
    fn described<'a>(text: &'a str, what: &str) -> BTreeMap<&'a str, &'a str> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|line| line.split_once(' ').unwrap()).collect()
    }

    /// Each family has a type, a text and one sample, and there is no other.
    fn check(text: &str, wanted: &[(&str, &str)]) {
        assert_eq!(described(text, "# TYPE "), wanted.iter().copied().collect());
        let told = described(text, "# HELP ");
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for (name, kind) in wanted {
            assert!(told.get(name).is_some_and(|told| told.len() > 10), "{name}: {told:?}");
            let sample = match *kind {
                "counter" => format!("{name}_total "),
                "info" => format!("{name}_info{{"),
                _ => format!("{name} "),
            };
            assert_eq!(samples.iter().filter(|line| line.starts_with(&sample)).count(), 1, "{name}: {text}");
        }
        assert_eq!(samples.len(), wanted.len(), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    fn value(text: &str, name: &str) -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    #[tokio::test]
    async fn a_node_that_starts_says_that_it_is_not_ready_and_what_it_counts_already() {
        let text = scrape(starting()).await;
        check(&text, &FROM_THE_START_ON);
        assert!(text.contains(&format!("seedlog_build_info{{version=\"{VERSION}\"}} 1\n")), "{text}");
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("seedlog_build_info"));
        samples.for_each(|line| assert_eq!(line.split_once(' ').unwrap().1.parse(), Ok(0.0), "{line}"));
    }

    #[tokio::test]
    async fn a_node_that_serves_says_where_it_is_and_what_became_of_its_log() {
        let service = serving().await;
        let text = scrape(Stage::Serving(service.clone())).await;
        check(&text, &[&FROM_THE_START_ON[..], &WITH_A_LOG[..]].concat());
        let labels = format!("node_id=\"{:016x}\",cluster_id=\"{:032x}\"", 0xA, 0xC);
        assert!(text.contains(&format!("seedlog_node_info{{{labels}}} 1\n")), "{text}");
        let status = service.node().status();
        let wanted = [
            ("seedlog_ready", 1),
            ("seedlog_is_leader", 1),
            ("seedlog_term", status.term),
            ("seedlog_last_index", status.last_index.unwrap()),
            ("seedlog_committed_index", status.committed_index.unwrap()),
            ("seedlog_applied_index", status.applied_index.unwrap()),
            ("seedlog_first_offset", 0),
            ("seedlog_next_offset", 1),
            ("seedlog_marked", 0),
            ("seedlog_ailing", 0),
            ("seedlog_repairing", 0),
        ];
        for (name, wanted) in wanted {
            assert_eq!(value(&text, name), wanted as f64, "{name}: {text}");
        }
        service.stopping().set();
        assert_eq!(value(&scrape(Stage::Serving(service.clone())).await, "seedlog_ready"), 0.0);
        service.node().shutdown().await;
    }

    #[tokio::test]
    async fn what_is_lost_where_nobody_else_has_it_counts_at_each_try() {
        let disk = SimDisk::new(1);
        let service = serving_from(&disk).await;
        for _ in 0..3 {
            service.node().produce(vec![vec![0; 3000].into()]).await.unwrap();
        }
        let stores = disk.paths().into_iter().filter(|path| path.extension().is_some_and(|it| it == "store"));
        let first = stores.min().unwrap();
        let mut bytes = disk.cached_bytes(&first).unwrap();
        bytes[2000] ^= 1;
        assert!(disk.tamper(&first, bytes));
        for tries in 1..3 {
            let (scrubbed, lost) = service.node().scrub(|_| {}).await.unwrap();
            assert_eq!((scrubbed.damaged, scrubbed.healed, lost.len()), (1, 0, 1), "{lost:?}");
            let text = scrape(Stage::Serving(service.clone())).await;
            assert_eq!(value(&text, "seedlog_scrub_damaged_segments_total"), f64::from(tries));
            assert!(value(&text, "seedlog_heal_given_up_total") >= f64::from(tries), "{text}");
            assert_eq!(value(&text, "seedlog_healed_segments_total"), 0.0);
        }
        service.node().shutdown().await;
    }

    #[tokio::test]
    async fn a_scrub_counts_once_whoever_asks_for_the_numbers_however_often() {
        let service = serving().await;
        let seen = async || scrape(Stage::Serving(service.clone())).await;
        let (scrubbed, _) = service.node().scrub(|_| {}).await.unwrap();
        for _ in 0..2 {
            let after = seen().await;
            check(&after, &[&FROM_THE_START_ON[..], &WITH_A_LOG[..], &[AFTER_A_SCRUB]].concat());
            assert_eq!(value(&after, "seedlog_scrubbed_bytes_total"), scrubbed.bytes as f64);
            assert_eq!(value(&after, "seedlog_scrub_passes_total"), 1.0);
            assert_eq!(value(&after, "seedlog_scrub_damaged_segments_total"), 0.0);
            let now = seedlog_runtime::clock::wall_ms() as f64 / 1000.0;
            let ended = value(&after, AFTER_A_SCRUB.0);
            assert!((now - 60.0..=now).contains(&ended), "{ended}, and it is {now}");
        }
        assert!(scrubbed.bytes > 0);
        service.node().shutdown().await;
    }
}
