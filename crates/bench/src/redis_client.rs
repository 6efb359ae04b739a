//! `XADD log * v VALUE` to a Redis stream, pipelined: as many unanswered as asked for, on one connection.

use crate::args::Calls;
use crate::error::{BenchError, io};
use crate::figures::{Figures, Recorder, value};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// No answer takes this long.
const ANSWER_MAX: Duration = Duration::from_secs(60);

pub fn run(args: &Calls) -> Result<Figures, BenchError> {
    let at = || format!("Redis at {}", args.addr);
    let mut socket = TcpStream::connect(&args.addr).map_err(io(at()))?;
    socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(ANSWER_MAX))).map_err(io(at()))?;
    let command = xadd(&value(args.size));
    let mut recorder = Recorder::start(args.warm_up, args.seconds);
    let mut made = VecDeque::new();
    let mut answers = Answers::default();
    let mut received = vec![0; 64 << 10];
    loop {
        let room = if recorder.goes_on() { args.in_flight as usize - made.len() } else { 0 };
        if room == 0 && made.is_empty() {
            return Ok(recorder.figures());
        }
        made.extend(std::iter::repeat_n(Instant::now(), room));
        socket.write_all(&command.repeat(room)).map_err(io(at()))?;
        let bytes = socket.read(&mut received).map_err(io(at()))?;
        if bytes == 0 {
            return Err(BenchError::Redis("the end of the connection".to_owned()));
        }
        for _ in 0..answers.push(&received[..bytes])? {
            let made = made.pop_front().ok_or_else(|| BenchError::Redis("more than it was asked".to_owned()))?;
            recorder.call(made, 1, args.size.into());
        }
    }
}

fn xadd(value: &[u8]) -> Vec<u8> {
    let mut command = b"*5\r\n$4\r\nXADD\r\n$3\r\nlog\r\n$1\r\n*\r\n$1\r\nv\r\n".to_vec();
    command.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    command.extend_from_slice(value);
    command.extend_from_slice(b"\r\n");
    command
}

/// Counts answers: each is two lines, a length and an entry's id, neither of which holds a line break.
#[derive(Debug, Default)]
struct Answers {
    line: Vec<u8>,
    lines: usize,
}

impl Answers {
    /// How many more are there now.
    fn push(&mut self, bytes: &[u8]) -> Result<usize, BenchError> {
        let before = self.lines / 2;
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                if self.lines.is_multiple_of(2) && !self.line.starts_with(b"$") {
                    return Err(BenchError::Redis(String::from_utf8_lossy(&self.line).trim_end().to_owned()));
                }
                self.lines += 1;
                self.line.clear();
            }
        }
        Ok(self.lines / 2 - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_wherever_the_bytes_are_cut() {
        let three = b"$3\r\n1-0\r\n$15\r\n1700000000000-1\r\n$3\r\n2-0\r\n";
        for cut in 0..=three.len() {
            let mut answers = Answers::default();
            let counted = answers.push(&three[..cut]).unwrap() + answers.push(&three[cut..]).unwrap();
            assert_eq!(counted, 3, "cut at {cut}");
        }
    }

    #[test]
    fn an_error_is_told_as_redis_said_it() {
        let said = Answers::default().push(b"-OOM command not allowed\r\n").unwrap_err().to_string();
        assert_eq!(said, "Redis answered \"-OOM command not allowed\"");
    }
}
