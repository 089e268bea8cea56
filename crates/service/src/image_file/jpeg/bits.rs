//! The bits of coded data, and the Huffman codes in them.

use super::JpegFault;

/// Bits of the longest Huffman code.
const MAX_CODE_BITS: u32 = 16;

/// Reads the bits of coded data up to the next marker.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    position: usize,
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Begins at a position of a file.
    pub(super) fn new(file: &'a [u8], position: usize) -> Self {
        Self {
            file,
            position,
            buffer: 0,
            count: 0,
        }
    }

    /// The position of the first byte that has not been looked at.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Reads up to 16 bits as a number.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, JpegFault> {
        self.fill();
        self.count = self.count.checked_sub(count).ok_or(JpegFault::CutOff)?;
        Ok((self.buffer >> self.count) as u32 & ((1 << count) - 1))
    }

    /// Reads a Huffman code.
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, JpegFault> {
        self.fill();
        // Behind the end of the data there are zeros.
        let next = if self.count >= MAX_CODE_BITS {
            self.buffer >> (self.count - MAX_CODE_BITS)
        } else {
            self.buffer << (MAX_CODE_BITS - self.count)
        };
        let (length, symbol) = table.symbols[next as usize & 0xffff];
        let fault = if self.count < MAX_CODE_BITS {
            JpegFault::CutOff
        } else {
            JpegFault::Damaged
        };
        if length == 0 {
            return Err(fault);
        }
        self.count = self.count.checked_sub(u32::from(length)).ok_or(fault)?;
        Ok(symbol)
    }

    /// Goes on behind the restart marker with a number, which must be the next marker.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), JpegFault> {
        self.finish()?;
        while self.file.get(self.position..self.position + 2) == Some(&[0xff, 0xff]) {
            self.position += 1;
        }
        if self.file.get(self.position + 1) != Some(&(0xd0 + (number % 8) as u8)) {
            return Err(JpegFault::CutOff);
        }
        self.position += 2;
        Ok(())
    }

    /// Ends at the next marker. Only padding may be left: other bytes would belong to something else that stands behind a cut.
    pub(super) fn finish(&mut self) -> Result<(), JpegFault> {
        loop {
            while self.count >= 8 {
                self.count -= 8;
                if !matches!((self.buffer >> self.count) as u8, 0 | 0xff) {
                    return Err(JpegFault::Damaged);
                }
            }
            self.count = 0;
            let Some(byte) = self.next_byte() else { return Ok(()) };
            (self.buffer, self.count) = (u64::from(byte), 8);
        }
    }

    fn fill(&mut self) {
        while self.count < MAX_CODE_BITS {
            let Some(byte) = self.next_byte() else { return };
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next byte, or `None` before a marker and at the end of the file.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.file.get(self.position)?;
        if byte == 0xff {
            if self.file.get(self.position + 1) != Some(&0) {
                return None;
            }
            self.position += 1;
        }
        self.position += 1;
        Some(byte)
    }
}

/// A Huffman code: for each 16 bits, the length of the code that they begin with, and its symbol. The length is zero if there is none.
pub(super) struct HuffmanTable {
    symbols: Vec<(u8, u8)>,
}

impl HuffmanTable {
    /// Reads a table from the bytes behind its name. Returns what follows it, too.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), JpegFault> {
        let (counts, rest) = bytes
            .split_at_checked(MAX_CODE_BITS as usize)
            .ok_or(JpegFault::Damaged)?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let (values, rest) = rest.split_at_checked(total).ok_or(JpegFault::Damaged)?;
        let mut values = values.iter();
        let mut symbols = Vec::with_capacity(1 << MAX_CODE_BITS);
        for (length, &count) in (1..).zip(counts) {
            for &value in values.by_ref().take(usize::from(count)) {
                let end = symbols.len() + (1 << (MAX_CODE_BITS - length));
                if end > 1 << MAX_CODE_BITS {
                    return Err(JpegFault::Damaged);
                }
                symbols.resize(end, (length as u8, value));
            }
        }
        symbols.resize(1 << MAX_CODE_BITS, (0, 0));
        Ok((Self { symbols }, rest))
    }
}
