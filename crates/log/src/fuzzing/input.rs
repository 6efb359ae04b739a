//! The fuzzer's bytes, read as numbers and pieces.

use crate::entry::Kind;

/// Zeros and nothing when there is no more.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    pub fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    pub fn u64(&mut self) -> u64 {
        self.number(8)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.u16()) % end
    }

    pub fn kind(&mut self) -> Kind {
        Kind::from_u8(1 + self.u8() % 4).expect("1 to 4")
    }

    /// `right`, mostly; else near it, or anything.
    pub fn nudged(&mut self, right: u64) -> u64 {
        match self.u8() {
            0..=219 => right,
            220..=234 => right.wrapping_add(1),
            235..=249 => right.wrapping_sub(1),
            _ => self.u64(),
        }
    }
}
