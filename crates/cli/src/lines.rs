//! Input to requests: one record a line, many lines a request.

use bytes::{Bytes, BytesMut};

/// Limits of one request: large enough that a request costs little per record, small enough that
/// acknowledgements are frequent and what is in flight stays in memory easily.
const REQUEST_BYTES_MAX: usize = 256 << 10;
const REQUEST_RECORDS_MAX: usize = 1000;

/// No server takes a record this long, and a line is kept in memory until it ends.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Lines that go in together, as one atomic batch.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Group {
    pub lines: Vec<Bytes>,
    /// As many as there are, or were, `lines`.
    pub records: u64,
    /// What they took in the input, newlines included.
    pub input_bytes: u64,
}

impl Group {
    /// The numbers without the lines.
    pub fn counted(self) -> Group {
        Group { lines: Vec::new(), ..self }
    }
}

/// A line that cannot become a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {number} has more than {max} bytes")]
pub struct TooLong {
    number: u64,
    max: usize,
}

/// Cuts chunks of input, split anywhere, into groups of lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The start of a line whose end has not come yet.
    partial: BytesMut,
    complete: u64,
}

impl Lines {
    /// The groups that `chunk` completes, and whether the line after them can be read at all. Whole
    /// lines never wait for more input.
    pub fn push(&mut self, mut chunk: Bytes) -> (Vec<Group>, Option<TooLong>) {
        let mut groups = Grouping::default();
        while let Some(at) = chunk.iter().position(|byte| *byte == b'\n') {
            let line = chunk.split_to(at + 1);
            let line = if self.partial.is_empty() {
                line.slice(..at)
            } else {
                self.partial.extend_from_slice(&line[..at]);
                self.partial.split().freeze()
            };
            self.complete += 1;
            groups.add(line);
        }
        self.partial.extend_from_slice(&chunk);
        let number = self.complete + 1;
        let too_long = self.partial.len() > LINE_BYTES_MAX;
        (groups.finish(), too_long.then_some(TooLong { number, max: LINE_BYTES_MAX }))
    }

    /// The input has ended: a last line without a newline is a line too.
    pub fn end(self) -> Option<Group> {
        let input_bytes = self.partial.len() as u64;
        (input_bytes > 0).then(|| Group { lines: vec![self.partial.freeze()], records: 1, input_bytes })
    }
}

#[derive(Default)]
struct Grouping {
    done: Vec<Group>,
    open: Group,
}

impl Grouping {
    fn add(&mut self, line: Bytes) {
        let input_bytes = line.len() + 1;
        let full = self.open.lines.len() >= REQUEST_RECORDS_MAX
            || self.open.input_bytes as usize + input_bytes > REQUEST_BYTES_MAX;
        if full && !self.open.lines.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
        self.open.lines.push(line);
        self.open.records += 1;
        self.open.input_bytes += input_bytes as u64;
    }

    fn finish(mut self) -> Vec<Group> {
        if !self.open.lines.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input` becomes when it arrives in chunks of `chunk_bytes`.
    fn lines(input: &[u8], chunk_bytes: usize) -> Vec<Bytes> {
        let mut lines = Lines::default();
        let mut groups = Vec::new();
        for chunk in input.chunks(chunk_bytes) {
            let (complete, too_long) = lines.push(Bytes::copy_from_slice(chunk));
            assert_eq!(too_long, None);
            groups.extend(complete);
        }
        groups.extend(lines.end());
        let bytes: u64 = groups.iter().map(|group| group.input_bytes).sum();
        assert_eq!(bytes, input.len() as u64, "every byte of the input is counted once");
        groups.into_iter().flat_map(|group| group.lines).collect()
    }

    #[test]
    fn a_record_is_a_line_however_the_input_is_cut() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("\n", &[""]),
            ("a", &["a"]),
            ("a\nbc\n", &["a", "bc"]),
            ("a\n\n\nbc", &["a", "", "", "bc"]),
            ("a\r\nb\0c\n", &["a\r", "b\0c"]),
        ];
        for (input, wanted) in cases {
            for chunk_bytes in 1..=input.len().max(1) {
                assert_eq!(lines(input.as_bytes(), chunk_bytes), wanted, "{input:?} in chunks of {chunk_bytes}");
            }
        }
    }

    #[test]
    fn groups_stay_below_both_limits_and_a_longer_line_goes_alone() {
        let mut input = "x\n".repeat(2 * REQUEST_RECORDS_MAX + 1);
        input += &("y".repeat(2 * REQUEST_BYTES_MAX) + "\n");
        input += "z\n";
        let (groups, _) = Lines::default().push(Bytes::from(input));
        let sizes: Vec<usize> = groups.iter().map(|group| group.lines.len()).collect();
        assert_eq!(sizes, [REQUEST_RECORDS_MAX, REQUEST_RECORDS_MAX, 1, 1, 1]);
    }

    #[test]
    fn a_line_that_is_complete_does_not_wait_for_the_next() {
        let mut lines = Lines::default();
        let (groups, _) = lines.push(Bytes::from("one\ntw"));
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].lines, ["one"]);
        assert_eq!(lines.push(Bytes::from("o\n")).0[0].lines, ["two"]);
    }

    #[test]
    fn a_line_without_end_is_refused_by_number_and_what_came_before_it_goes_in() {
        let mut lines = Lines::default();
        lines.push(Bytes::from("one\n"));
        let (groups, too_long) = lines.push(Bytes::from("two\n".to_owned() + &"x".repeat(LINE_BYTES_MAX + 1)));
        assert_eq!(groups[0].lines, ["two"]);
        assert_eq!(too_long, Some(TooLong { number: 3, max: LINE_BYTES_MAX }));
    }
}
