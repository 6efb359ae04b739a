//! NATS's text protocol, as much of it as is needed: one connection, frames one after the other.

use crate::error::{BenchError, io};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

/// No ack takes this long.
const ACK_MAX: Duration = Duration::from_secs(60);
/// Nor an answer: a server that is asked before its cluster has formed may never give one.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
    \"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\nPING\r\n";

/// Positions are those in the buffer that was given to [`frame`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Message { reply: Range<usize>, headers: Range<usize>, payload: Range<usize> },
    Info(Range<usize>),
    Ping,
    Pong,
    Ok,
    Error(String),
}

/// The first frame of `bytes`, and how many bytes it has; `None` if not all of it is there.
pub fn frame(bytes: &[u8]) -> Result<Option<(Frame, usize)>, BenchError> {
    let Some(line_end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = &bytes[..line_end];
    let odd = || BenchError::Nats(String::from_utf8_lossy(line).into_owned());
    let behind = line_end + 2;
    let plain = |frame| Ok(Some((frame, behind)));
    match line {
        b"PING" => return plain(Frame::Ping),
        b"PONG" => return plain(Frame::Pong),
        b"+OK" => return plain(Frame::Ok),
        _ if line.starts_with(b"INFO ") => return plain(Frame::Info(5..line_end)),
        _ if line.starts_with(b"-ERR") => return plain(Frame::Error(String::from_utf8_lossy(line).into_owned())),
        _ => {}
    }
    // MSG subject sid [reply] bytes, HMSG subject sid [reply] header-bytes bytes.
    let with_headers = line.starts_with(b"HMSG ");
    if !with_headers && !line.starts_with(b"MSG ") {
        return Err(odd());
    }
    let mut words = Words { line, at: 0 };
    let all: Vec<Range<usize>> = std::iter::from_fn(|| words.next()).collect();
    let lengths = if with_headers { 2 } else { 1 };
    let (reply, lengths) = match all.len().checked_sub(3 + lengths) {
        Some(0) => (0..0, &all[3..]),
        Some(1) => (all[3].clone(), &all[4..]),
        _ => return Err(odd()),
    };
    let number = |word: &Range<usize>| std::str::from_utf8(&line[word.clone()]).ok()?.parse::<usize>().ok();
    let total = lengths.last().and_then(number).ok_or_else(odd)?;
    let header_bytes =
        if with_headers { number(&lengths[0]).filter(|bytes| *bytes <= total).ok_or_else(odd)? } else { 0 };
    let end = behind + total + 2;
    if bytes.len() < end {
        return Ok(None);
    }
    let payload = behind + header_bytes..behind + total;
    Ok(Some((Frame::Message { reply, headers: behind..behind + header_bytes, payload }, end)))
}

struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at + self.line.get(self.at..)?.iter().position(|byte| *byte != b' ')?;
        let len = self.line[start..].iter().position(|byte| *byte == b' ').unwrap_or(self.line.len() - start);
        self.at = start + len;
        Some(start..self.at)
    }
}

pub struct Connection {
    socket: TcpStream,
    addr: String,
    pub server_name: String,
    bytes: Vec<u8>,
    /// Read and not looked at yet.
    unread: Range<usize>,
}

impl Connection {
    pub fn open(addr: &str) -> Result<Connection, BenchError> {
        let at = || format!("NATS at {addr}");
        let socket = TcpStream::connect(addr).map_err(io(at()))?;
        socket.set_nodelay(true).and_then(|()| socket.set_read_timeout(Some(ANSWER_MAX))).map_err(io(at()))?;
        let mut connection = Connection {
            socket,
            addr: addr.to_owned(),
            server_name: String::new(),
            bytes: vec![0; 1 << 20],
            unread: 0..0,
        };
        connection.send(CONNECT)?;
        loop {
            match connection.next()? {
                Frame::Info(info) => {
                    let info: serde_json::Value = serde_json::from_slice(connection.at(info)).unwrap_or_default();
                    connection.server_name = info["server_name"].as_str().unwrap_or_default().to_owned();
                }
                Frame::Pong => return Ok(connection),
                _ => {}
            }
        }
    }

    /// The leader of a stream has as long as its disk needs.
    pub fn be_patient(&self) -> Result<(), BenchError> {
        self.socket.set_read_timeout(Some(ACK_MAX)).map_err(io(format!("NATS at {}", self.addr)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.socket.write_all(bytes).map_err(io(format!("NATS at {}", self.addr)))
    }

    /// What is at these positions of the last frame; until the next one is asked for.
    pub fn at(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Waits for it. A ping is answered here.
    pub fn next(&mut self) -> Result<Frame, BenchError> {
        loop {
            if let Some(frame) = self.there()? {
                return Ok(frame);
            }
            self.bytes.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.unread.end == self.bytes.len() {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
            let at = || format!("NATS at {}", self.addr);
            match self.socket.read(&mut self.bytes[self.unread.end..]).map_err(io(at()))? {
                0 => return Err(BenchError::Nats("the end of the connection".to_owned())),
                read => self.unread.end += read,
            }
        }
    }

    /// One that was read already.
    pub fn there(&mut self) -> Result<Option<Frame>, BenchError> {
        loop {
            let first = self.unread.start;
            let Some((frame, bytes)) = frame(&self.bytes[self.unread.clone()])? else { return Ok(None) };
            self.unread.start += bytes;
            let moved = |range: Range<usize>| range.start + first..range.end + first;
            match frame {
                Frame::Ping => self.send(b"PONG\r\n")?,
                Frame::Error(said) => return Err(BenchError::Nats(said)),
                Frame::Info(info) => return Ok(Some(Frame::Info(moved(info)))),
                Frame::Message { reply, headers, payload } => {
                    let (reply, headers, payload) = (moved(reply), moved(headers), moved(payload));
                    return Ok(Some(Frame::Message { reply, headers, payload }));
                }
                frame => return Ok(Some(frame)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let bytes = b"MSG a.b 1 5\r\nhe\r\no\r\nHMSG d 2 r.1 5 7\r\nH\r\n\r\nxy\r\nPING\r\n";
        let mut at = 0;
        let mut next = || {
            let (frame, len) = frame(&bytes[at..]).unwrap().unwrap();
            let text = |range: &Range<usize>| String::from_utf8_lossy(&bytes[at..][range.clone()]).into_owned();
            let shown = match &frame {
                Frame::Message { reply, headers, payload } => [text(reply), text(headers), text(payload)].join("|"),
                other => format!("{other:?}"),
            };
            at += len;
            shown
        };
        assert_eq!(next(), "||he\r\no");
        assert_eq!(next(), "r.1|H\r\n\r\n|xy");
        assert_eq!(next(), "Ping");
        for cut in 0..20 {
            assert_eq!(frame(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_told() {
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"MSG a 1\r\n", b"MSG a 1 x\r\n", b"HMSG a 1 9 4\r\n"] {
            assert!(frame(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
