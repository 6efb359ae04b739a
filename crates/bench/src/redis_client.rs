//! `XADD log * v VALUE` to a Redis stream, pipelined: as many unanswered as asked for, on one connection. And
//! `XREAD`, from the first entry on.

use crate::args::{Calls, Shape};
use crate::error::{BenchError, io};
use crate::figures::{Figures, Recorder, value};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

/// No answer takes this long.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// What there is at least to read.
const READ_FROM: u64 = 100_000;
const FILL_IN_FLIGHT: usize = 256;

pub fn run(args: &Calls) -> Result<Figures, BenchError> {
    let mut connection = Connection::open(&args.addr)?;
    match args.shape {
        Shape::Unary | Shape::Stream => {
            let mut recorder = Recorder::start(args.warm_up, args.seconds);
            let mut appender = Appender::new(args.size);
            loop {
                let room = if recorder.goes_on() { args.in_flight as usize - appender.made.len() } else { 0 };
                if room == 0 && appender.made.is_empty() {
                    return Ok(recorder.figures());
                }
                appender.send(&mut connection, room)?;
                appender.answers(&mut connection, |made| recorder.call(made, 1, args.size.into()))?;
            }
        }
        Shape::Consume => consume(&mut connection, args),
    }
}

/// The stream from its first entry to its last, and again; a call is `batch` entries.
fn consume(connection: &mut Connection, args: &Calls) -> Result<Figures, BenchError> {
    connection.send(&command(&[b"XLEN", b"log"]))?;
    let Token::Number(there) = connection.next()? else { return Err(BenchError::Redis("no length".to_owned())) };
    let mut missing = READ_FROM.saturating_sub(there);
    let mut appender = Appender::new(args.size);
    while missing > 0 || !appender.made.is_empty() {
        let room = (FILL_IN_FLIGHT - appender.made.len()).min(missing as usize);
        appender.send(connection, room)?;
        missing -= room as u64;
        appender.answers(connection, drop)?;
    }
    let mut recorder = Recorder::start(args.warm_up, args.seconds);
    let count = args.batch.to_string();
    let mut last = b"0-0".to_vec();
    while recorder.goes_on() {
        let made = Instant::now();
        connection.send(&command(&[b"XREAD", b"COUNT", count.as_bytes(), b"STREAMS", b"log", &last]))?;
        let (mut left, mut texts, mut bytes) = (1_u64, 0_u64, 0_u64);
        while left > 0 {
            left -= 1;
            match connection.next()? {
                Token::Array(elements) => left += elements,
                Token::Text(text) => {
                    // The stream's name, and of each entry its id, the field's name and the value.
                    match (texts, texts % 3) {
                        (1.., 1) => last = connection.at(text).to_vec(),
                        (1.., 0) => bytes += text.len() as u64,
                        _ => {}
                    }
                    texts += 1;
                }
                Token::Nil => last = b"0-0".to_vec(),
                Token::Number(_) => {}
            }
        }
        recorder.call(made, texts.saturating_sub(1) / 3, bytes);
    }
    Ok(recorder.figures())
}

struct Appender {
    command: Vec<u8>,
    made: VecDeque<Instant>,
}

impl Appender {
    fn new(size: u32) -> Appender {
        Appender { command: command(&[b"XADD", b"log", b"*", b"v", &value(size)]), made: VecDeque::new() }
    }

    fn send(&mut self, connection: &mut Connection, count: usize) -> Result<(), BenchError> {
        self.made.extend(std::iter::repeat_n(Instant::now(), count));
        connection.send(&self.command.repeat(count))
    }

    /// Waits for one, and takes all that came with it.
    fn answers(&mut self, connection: &mut Connection, mut answered: impl FnMut(Instant)) -> Result<(), BenchError> {
        let mut token = Some(connection.next()?);
        while token.is_some() {
            let made = self.made.pop_front();
            answered(made.ok_or_else(|| BenchError::Redis("more than it was asked".to_owned()))?);
            token = connection.there()?;
        }
        Ok(())
    }
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    command
}

/// What an answer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// So many more follow.
    Array(u64),
    Text(Range<usize>),
    Number(u64),
    Nil,
}

/// The first token of `bytes`, and how many bytes it has; `None` if not all of it is there.
fn token(bytes: &[u8]) -> Result<Option<(Token, usize)>, BenchError> {
    let Some(line_end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[..line_end]);
    let odd = || BenchError::Redis(line.clone().into_owned());
    let (kind, number) = line.split_at_checked(1).ok_or_else(odd)?;
    let number = number.parse::<i64>();
    let behind = line_end + 2;
    Ok(Some(match (kind, number.map(u64::try_from)) {
        ("*" | "$", Ok(Err(_))) => (Token::Nil, behind),
        ("*", Ok(Ok(elements))) => (Token::Array(elements), behind),
        (":", Ok(Ok(number))) => (Token::Number(number), behind),
        ("$", Ok(Ok(length))) => {
            let text = behind..behind + length as usize;
            let end = text.end + 2;
            if bytes.len() < end {
                return Ok(None);
            }
            (Token::Text(text), end)
        }
        _ => return Err(odd()),
    }))
}

struct Connection {
    socket: TcpStream,
    addr: String,
    bytes: Vec<u8>,
    /// Read and not looked at yet.
    unread: Range<usize>,
}

impl Connection {
    fn open(addr: &str) -> Result<Connection, BenchError> {
        let at = || format!("Redis at {addr}");
        let socket = TcpStream::connect(addr).map_err(io(at()))?;
        socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(ANSWER_MAX))).map_err(io(at()))?;
        Ok(Connection { socket, addr: addr.to_owned(), bytes: vec![0; 1 << 20], unread: 0..0 })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.socket.write_all(bytes).map_err(io(format!("Redis at {}", self.addr)))
    }

    /// What is at these positions of the last token; until the next one is asked for.
    fn at(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Waits for it.
    fn next(&mut self) -> Result<Token, BenchError> {
        loop {
            if let Some(token) = self.there()? {
                return Ok(token);
            }
            self.bytes.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.unread.end == self.bytes.len() {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
            let at = || format!("Redis at {}", self.addr);
            match self.socket.read(&mut self.bytes[self.unread.end..]).map_err(io(at()))? {
                0 => return Err(BenchError::Redis("the end of the connection".to_owned())),
                read => self.unread.end += read,
            }
        }
    }

    /// One that was read already.
    fn there(&mut self) -> Result<Option<Token>, BenchError> {
        let first = self.unread.start;
        let Some((token, bytes)) = token(&self.bytes[self.unread.clone()])? else { return Ok(None) };
        self.unread.start += bytes;
        Ok(Some(match token {
            Token::Text(text) => Token::Text(text.start + first..text.end + first),
            token => token,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_whole_or_not_at_all() {
        let all = b"*2\r\n$3\r\n1-0\r\n$-1\r\n:42\r\n";
        let mut at = 0;
        let mut next = || {
            let (token, bytes) = token(&all[at..]).unwrap().unwrap();
            at += bytes;
            token
        };
        assert_eq!(
            (next(), next(), next(), next()),
            (Token::Array(2), Token::Text(4..7), Token::Nil, Token::Number(42))
        );
        for cut in 4..12 {
            assert_eq!(token(&all[4..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn an_error_is_told_as_redis_said_it() {
        let said = token(b"-OOM command not allowed\r\n").unwrap_err().to_string();
        assert_eq!(said, "Redis answered \"-OOM command not allowed\"");
    }
}
