use crate::data_dir::Identity;

/// Sizes of the log's files. None of them is a promise to a reader of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A segment that would grow past this is closed and the next one opened. One batch larger than
    /// this still goes into one segment.
    pub segment_bytes_max: u64,
    /// A segment holds at most this many entries (16 bytes of index each).
    pub index_rows_max: u32,
    /// Zeros written ahead of small batches, so that their sync does not also grow the file; 0: none.
    pub prewrite_bytes: u64,
    /// At start, segments are read whole and checked, newest first, until this many bytes; the last two
    /// always, and all from the last entry on that is known to be committed. What is older is checked when
    /// it is read. A GiB takes more than a second of processor time even out of the page cache, most of it
    /// for moving the bytes (docs/benchmarks.md).
    pub start_check_bytes_max: u64,
    /// Whether a directory without a log may become one. If it was one before, its log is lost, and to
    /// begin a new one would forget what was acked.
    pub create: bool,
    /// Mixed into the checksums of new segments. Must be unguessable to those who produce records, so that
    /// no record can be made to look like a batch; it need not be the same at each start.
    pub salt: u64,
    /// Whose log it is, noted in each store. Zeros: not noted, and not looked at.
    pub owner: Identity,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            segment_bytes_max: 64 << 20,
            index_rows_max: 1 << 16,
            prewrite_bytes: 256 << 10,
            start_check_bytes_max: 128 << 20,
            create: true,
            salt: 0,
            owner: Identity::default(),
        }
    }
}
