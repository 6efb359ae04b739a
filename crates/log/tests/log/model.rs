//! The log against a plain list, through random appends, syncs, truncations, trims, purges, reopenings,
//! kills and power losses, with a crash possible inside every disk operation.
//!
//! `PROPTEST_CASES` sets how many histories are tried.

use crate::common::{dir, entry, reopen, trim};
use bytes::Bytes;
use proptest::prelude::*;
use seedlog_log::{Checkpoint, Config, Entry, Kind, Opened, RecordBatch, verify};
use seedlog_runtime::disk::SimDisk;

#[derive(Debug, Clone)]
enum Op {
    /// One batch of entries with these payload sizes, written and, if so, synced.
    Append {
        sizes: Vec<Vec<u16>>,
        new_term: bool,
        sync: bool,
    },
    Sync,
    /// Takes back so many of the entries that are not committed.
    Truncate {
        back: u8,
    },
    /// Marks entries as committed, up to so many before the synced end.
    Commit {
        behind: u8,
    },
    /// A committed trim up to so many records before the end, then a purge of what may go.
    Trim {
        behind: u8,
    },
    Seal,
    Reopen,
    Kill,
    PowerLoss {
        seed: u64,
    },
}

#[derive(Debug, Clone)]
struct Step {
    op: Op,
    /// The machine goes down at the n-th disk operation of this step, and `Some`: with the power.
    crash: Option<(u64, Option<u64>)>,
}

fn op() -> impl Strategy<Value = Op> {
    let sizes = prop::collection::vec(prop::collection::vec(0..300u16, 0..4), 1..5);
    prop_oneof![
        8 => (sizes, prop::bool::weighted(0.2), prop::bool::weighted(0.8))
            .prop_map(|(sizes, new_term, sync)| Op::Append { sizes, new_term, sync }),
        2 => Just(Op::Sync),
        2 => (0..12u8).prop_map(|back| Op::Truncate { back }),
        2 => (0..6u8).prop_map(|behind| Op::Commit { behind }),
        1 => (0..20u8).prop_map(|behind| Op::Trim { behind }),
        1 => Just(Op::Seal),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
        2 => any::<u64>().prop_map(|seed| Op::PowerLoss { seed }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let crash = prop::option::weighted(0.15, (0..30u64, prop::option::of(any::<u64>())));
    (op(), crash).prop_map(|(op, crash)| Step { op, crash })
}

fn config() -> impl Strategy<Value = Config> {
    (600..3000u64, 2..12u32, prop_oneof![Just(0), 64..1000u64], prop_oneof![Just(0), Just(u64::MAX)]).prop_map(
        |(segment_bytes_max, index_rows_max, prewrite_bytes, start_check_bytes_max)| Config {
            segment_bytes_max,
            index_rows_max,
            prewrite_bytes,
            start_check_bytes_max,
            create: true,
            salt: 3,
            owner: Default::default(),
        },
    )
}

/// What the log must hold: entries by index, from index 0 on, also those purged since.
struct Model {
    entries: Vec<Entry>,
    /// So many are durable.
    synced: usize,
    committed: Option<u64>,
    /// Entries below it may have been purged.
    purgeable: u64,
    term: u64,
}

struct World {
    disk: SimDisk,
    config: Config,
    opened: Option<Opened>,
    model: Model,
}

impl World {
    fn new(config: Config) -> World {
        let disk = SimDisk::new(1);
        let opened = reopen(&disk, &config).unwrap();
        let model = Model { entries: Vec::new(), synced: 0, committed: None, purgeable: 0, term: 1 };
        World { disk, config, opened: Some(opened), model }
    }

    fn log(&mut self) -> &mut Opened {
        self.opened.as_mut().expect("open between steps")
    }

    fn run(&mut self, step: &Step) {
        if let Some((ops, _)) = step.crash {
            crate::common::crash_after(&self.disk, ops);
        }
        // The shortest and the longest log that may be found if the machine goes down in this step.
        let (shortest, longest) = self.apply(&step.op);
        let kill = || self.disk.crash_process();
        match (self.disk.is_down(), step.crash, &step.op) {
            (true, Some((_, Some(seed))), _) => self.disk.power_loss(seed),
            (true, _, _) => kill(),
            (false, _, Op::Kill) => kill(),
            (false, _, Op::PowerLoss { seed }) => self.disk.power_loss(*seed),
            (false, _, Op::Reopen) => {}
            (false, _, _) => {
                self.disk.clear_faults();
                return self.check();
            }
        }
        self.disk.clear_faults();
        let power = match (&step.op, step.crash) {
            (Op::PowerLoss { .. }, _) => true,
            (Op::Reopen | Op::Kill, None) => false,
            (_, crash) => crash.is_some_and(|(_, seed)| seed.is_some()),
        };
        self.recover(if power { shortest } else { shortest.min(longest) }, longest);
    }

    /// Applies the operation to log and model; says how long the log may be if it crashes in it.
    fn apply(&mut self, op: &Op) -> (usize, usize) {
        let before = self.model.entries.len();
        match op {
            Op::Append { sizes, new_term, sync } => {
                self.sync();
                if self.disk.is_down() {
                    return (self.model.synced, before);
                }
                self.model.term += u64::from(*new_term);
                let batch: Vec<Entry> =
                    (before as u64..).zip(sizes).map(|(index, sizes)| self.entry(index, sizes)).collect();
                self.model.entries.extend(batch.iter().cloned());
                let written = self.log().writer.write(&batch).is_ok();
                assert!(written || self.disk.is_down());
                let longest = self.model.entries.len();
                if written && *sync {
                    self.sync();
                }
                (self.model.synced, longest)
            }
            Op::Sync => {
                self.sync();
                (self.model.synced, before)
            }
            Op::Truncate { back } => {
                self.sync();
                let committed = self.model.committed.map_or(0, |index| index as usize + 1);
                let cut = before.saturating_sub(*back as usize).max(committed).max(self.model.purgeable as usize);
                if self.disk.is_down() || cut >= before {
                    return (self.model.synced.min(before), before);
                }
                let done = self.log().writer.truncate_from(cut as u64).is_ok();
                assert!(done || self.disk.is_down());
                if done {
                    self.model.entries.truncate(cut);
                    self.model.synced = cut;
                    // The cut is durable; no crash brings the rest back.
                    return (cut, cut);
                }
                (cut, before)
            }
            Op::Commit { behind } => {
                if let Some(index) = (self.model.synced as u64).checked_sub(1 + u64::from(*behind)) {
                    self.model.committed = self.model.committed.max(Some(index));
                    let committed = self.model.committed.unwrap();
                    self.log().writer.set_committed(committed);
                }
                (self.model.synced, before)
            }
            Op::Trim { behind } => {
                self.sync();
                if self.disk.is_down() {
                    return (self.model.synced, before);
                }
                let next_offset = self.fold(before).state.next_offset;
                let command = trim(self.model.term, before as u64, next_offset.saturating_sub(u64::from(*behind)));
                self.model.entries.push(command.clone());
                let longest = self.model.entries.len();
                let written = self.log().writer.write(&[command]).is_ok();
                if written {
                    self.sync();
                }
                if self.disk.is_down() {
                    return (self.model.synced, longest);
                }
                let committed = longest as u64 - 1;
                self.model.committed = Some(committed);
                self.log().writer.set_committed(committed);
                let first_offset = self.fold(longest).state.first_offset;
                if let Some(checkpoint) = self.log().reader.checkpoint_for_trim(first_offset, committed) {
                    assert!(checkpoint.state.next_offset <= first_offset);
                    self.model.purgeable = self.model.purgeable.max(checkpoint.next_index());
                    let last = checkpoint.last.unwrap();
                    let purged = self.log().writer.purge(last.index).is_ok();
                    assert!(purged || self.disk.is_down());
                }
                (self.model.synced, longest)
            }
            Op::Seal => {
                self.sync();
                if !self.disk.is_down() {
                    let sealed = self.log().writer.seal().is_ok();
                    assert!(sealed || self.disk.is_down());
                }
                (self.model.synced, before)
            }
            Op::Reopen | Op::Kill | Op::PowerLoss { .. } => {
                self.opened = None;
                let survives = match op {
                    // A start may be crashed into; once it has answered, all it found is durable.
                    Op::Reopen => {
                        let reopened = reopen(&self.disk, &self.config).is_ok();
                        assert!(reopened || self.disk.is_down());
                        if reopened { before } else { self.model.synced }
                    }
                    Op::PowerLoss { .. } => self.model.synced,
                    _ => before,
                };
                (survives, before)
            }
        }
    }

    fn sync(&mut self) {
        if self.model.synced < self.model.entries.len() || self.model.entries.is_empty() {
            if self.model.entries.is_empty() {
                return;
            }
            match self.log().writer.sync() {
                Ok(()) => self.model.synced = self.model.entries.len(),
                Err(error) => assert!(self.disk.is_down(), "{error}"),
            }
        }
    }

    fn entry(&self, index: u64, sizes: &[u16]) -> Entry {
        let kind = if sizes.is_empty() { Kind::Blank } else { Kind::Records };
        let fill = |nth: usize, size: u16| {
            let mut bytes = format!("{}.{index}.{nth}:", self.model.term).into_bytes();
            bytes.resize(bytes.len() + size as usize, b'a' + (index % 26) as u8);
            Bytes::from(bytes)
        };
        let records: Vec<_> = sizes.iter().enumerate().map(|(nth, size)| fill(nth, *size)).collect();
        let payload = if sizes.is_empty() { Bytes::new() } else { RecordBatch::from(records).encode() };
        // The leader's clock may be wrong: it goes back every few entries.
        Entry { time_ms: 1_000 + index * 7 - index % 5 * 20, ..entry(self.model.term, index, kind, payload) }
    }

    /// The fold over the first `count` entries.
    fn fold(&self, count: usize) -> Checkpoint {
        let mut fold = Checkpoint::default();
        for entry in &self.model.entries[..count] {
            fold.apply(entry).unwrap();
        }
        fold
    }

    /// Opens again and takes over how much is there, which must be between the two lengths.
    fn recover(&mut self, shortest: usize, longest: usize) {
        self.opened = None;
        let opened = reopen(&self.disk, &self.config).unwrap_or_else(|error| panic!("{error}"));
        let found = opened.recovered.last.map_or(0, |last| last.index as usize + 1);
        assert!((shortest..=longest).contains(&found), "{found} entries found, {shortest}..={longest} may be");
        assert!(opened.recovered.committed.map(|id| id.index) <= self.model.committed);
        let checkpoint = &opened.recovered.checkpoint;
        assert!(checkpoint.last.map(|id| id.index) <= opened.recovered.committed.map(|id| id.index));
        assert_eq!(*checkpoint, self.fold(checkpoint.next_index() as usize));
        self.model.entries.truncate(found);
        self.model.synced = found;
        // The writer learns anew what is committed.
        self.model.committed = opened.recovered.committed.map(|id| id.index);
        self.opened = Some(opened);
        self.check();
    }

    fn check(&mut self) {
        let fold = self.fold(self.model.entries.len());
        let opened = self.opened.as_ref().unwrap();
        let first = opened.reader.first_index();
        assert!(first <= self.model.purgeable);
        assert_eq!(opened.writer.last(), self.model.entries.last().map(|entry| entry.id));
        let read = opened.reader.entries(first, u64::MAX, usize::MAX).unwrap();
        assert_eq!(read.len(), self.model.entries.len() - first as usize);
        let mut before = self.fold(first as usize);
        let mut records = Vec::new();
        for (read, entry) in read.iter().zip(&self.model.entries[first as usize..]) {
            let offset = before.state.next_offset;
            before.apply(entry).unwrap();
            assert_eq!((read.id, read.kind, &read.payload), (entry.id, entry.kind, &entry.payload));
            assert_eq!(read.time_ms, before.state.time_ms);
            if entry.kind == Kind::Records {
                let batch = RecordBatch::decode(&entry.payload).unwrap();
                records.extend((offset..).zip(batch.records));
            }
        }
        assert_eq!(before, fold);
        for at in 0..records.len() {
            let (offset, bytes) = &records[at];
            let found = opened.reader.records(*offset, u64::MAX, 2, usize::MAX).unwrap();
            assert_eq!((found[0].offset, &found[0].bytes), (*offset, bytes));
            assert_eq!(found.len(), 2.min(records.len() - at));
        }
        let past = opened.reader.records(fold.state.next_offset, u64::MAX, 1, 1).unwrap();
        assert!(past.is_empty());
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig { max_shrink_iters: 4_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_log_is_a_list_whatever_happens_to_the_machine(
        config in config(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.run(step);
        }
        world.opened = None;
        world.disk.crash_process();
        prop_assert!(verify(&world.disk, &dir()).unwrap().is_sound());
    }

    #[test]
    fn kill_9_then_restart_then_power_loss_keeps_what_the_restart_reported(
        config in config(),
        steps in prop::collection::vec(step(), 1..12),
        last in prop::collection::vec(prop::collection::vec(0..300u16, 0..4), 1..5),
        fail_sync in any::<bool>(),
        power in any::<u64>(),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.run(step);
        }
        // A batch that never reached the disk, or whose sync failed: the page cache shows it all the same.
        world.apply(&Op::Append { sizes: last, new_term: false, sync: false });
        if fail_sync {
            crate::common::fail_next_sync(&world.disk);
            prop_assert!(world.log().writer.sync().is_err());
        }
        let written = world.model.entries.len();
        world.disk.crash_process();
        world.recover(written, written);
        // What the restart reported is durable now.
        world.opened = None;
        world.disk.power_loss(power);
        world.recover(written, written);
    }
}
