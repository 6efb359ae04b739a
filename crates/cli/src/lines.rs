//! Input to requests: one record a line, many lines a request.

use bytes::{Bytes, BytesMut};

/// Limits of one request: large enough that a request costs little per record, small enough that
/// acknowledgements are frequent and what is in flight stays in memory easily.
const REQUEST_BYTES_MAX: usize = 256 << 10;
const REQUEST_RECORDS_MAX: usize = 1000;

/// Lines that go in together, as one atomic batch.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Group {
    pub lines: Vec<Bytes>,
    /// What they took in the input, newlines included.
    pub input_bytes: u64,
}

/// Cuts chunks of input, split anywhere, into groups of lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The start of a line whose end has not come yet.
    partial: BytesMut,
}

impl Lines {
    /// The groups that `chunk` completes. Whole lines never wait for more input.
    pub fn push(&mut self, mut chunk: Bytes) -> Vec<Group> {
        let mut groups = Grouping::default();
        while let Some(at) = chunk.iter().position(|byte| *byte == b'\n') {
            let line = chunk.split_to(at + 1);
            if self.partial.is_empty() {
                groups.add(line.slice(..at), at + 1);
            } else {
                self.partial.extend_from_slice(&line[..at]);
                let line = self.partial.split().freeze();
                let bytes = line.len() + 1;
                groups.add(line, bytes);
            }
        }
        self.partial.extend_from_slice(&chunk);
        groups.finish()
    }

    /// The input has ended: a last line without a newline is a line too.
    pub fn end(self) -> Option<Group> {
        let bytes = self.partial.len();
        (bytes > 0).then(|| Group { lines: vec![self.partial.freeze()], input_bytes: bytes as u64 })
    }
}

#[derive(Default)]
struct Grouping {
    done: Vec<Group>,
    open: Group,
}

impl Grouping {
    fn add(&mut self, line: Bytes, input_bytes: usize) {
        let full = self.open.lines.len() >= REQUEST_RECORDS_MAX
            || self.open.input_bytes as usize + input_bytes > REQUEST_BYTES_MAX;
        if full && !self.open.lines.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
        self.open.lines.push(line);
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
            groups.extend(lines.push(Bytes::copy_from_slice(chunk)));
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
        let groups = Lines::default().push(Bytes::from(input));
        let sizes: Vec<usize> = groups.iter().map(|group| group.lines.len()).collect();
        assert_eq!(sizes, [REQUEST_RECORDS_MAX, REQUEST_RECORDS_MAX, 1, 1, 1]);
    }

    #[test]
    fn a_line_that_is_complete_does_not_wait_for_the_next() {
        let mut lines = Lines::default();
        let groups = lines.push(Bytes::from("one\ntw"));
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].lines, ["one"]);
        assert_eq!(lines.push(Bytes::from("o\n"))[0].lines, ["two"]);
    }
}
