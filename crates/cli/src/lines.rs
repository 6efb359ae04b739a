//! Input to lines: one record each.

use bytes::{Bytes, BytesMut};

/// No server takes a record this long, and a line is kept in memory until it ends.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// A line that cannot become a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {number} has more than {max} bytes")]
pub struct TooLong {
    number: u64,
    max: usize,
}

/// Cuts chunks of input, split anywhere, into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The start of a line whose end has not come yet.
    partial: BytesMut,
    complete: u64,
}

impl Lines {
    /// The lines that `chunk` completes, without their newlines, and whether the line after them can be read at all.
    pub fn push(&mut self, mut chunk: Bytes) -> (Vec<Bytes>, Option<TooLong>) {
        let mut lines = Vec::new();
        while let Some(at) = chunk.iter().position(|byte| *byte == b'\n') {
            let line = chunk.split_to(at + 1);
            lines.push(if self.partial.is_empty() {
                line.slice(..at)
            } else {
                self.partial.extend_from_slice(&line[..at]);
                self.partial.split().freeze()
            });
        }
        self.complete += lines.len() as u64;
        self.partial.extend_from_slice(&chunk);
        let number = self.complete + 1;
        let too_long = self.partial.len() > LINE_BYTES_MAX;
        (lines, too_long.then_some(TooLong { number, max: LINE_BYTES_MAX }))
    }

    /// The input has ended: a last line without a newline is a line too.
    pub fn end(self) -> Option<Bytes> {
        (!self.partial.is_empty()).then(|| self.partial.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input` becomes when it arrives in chunks of `chunk_bytes`.
    fn lines(input: &[u8], chunk_bytes: usize) -> Vec<Bytes> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for chunk in input.chunks(chunk_bytes) {
            let (complete, too_long) = lines.push(Bytes::copy_from_slice(chunk));
            assert_eq!(too_long, None);
            all.extend(complete);
        }
        all.extend(lines.end());
        all
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
    fn a_line_that_is_complete_does_not_wait_for_the_next() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(Bytes::from("one\ntw")).0, ["one"]);
        assert_eq!(lines.push(Bytes::from("o\n")).0, ["two"]);
    }

    #[test]
    fn a_line_without_end_is_refused_by_number_and_what_came_before_it_goes_in() {
        let mut lines = Lines::default();
        lines.push(Bytes::from("one\n"));
        let (complete, too_long) = lines.push(Bytes::from("two\n".to_owned() + &"x".repeat(LINE_BYTES_MAX + 1)));
        assert_eq!(complete, ["two"]);
        assert_eq!(too_long, Some(TooLong { number: 3, max: LINE_BYTES_MAX }));
    }
}
