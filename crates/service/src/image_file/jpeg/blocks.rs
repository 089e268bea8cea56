//! The blocks of a scan.

use super::JpegFault;
use super::bits::{Bits, HuffmanTable};
use super::frame::Band;

/// A symbol with this run of zeros and no value stands for sixteen zeros.
const LONG_RUN: u32 = 15;

/// Reads the blocks of a scan.
pub(super) struct BlockReader<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) band: Band,
    /// The number of following blocks that have nothing more in the band.
    pub(super) end_of_band_run: u32,
}

impl BlockReader<'_> {
    /// Begins again behind the restart marker with a number.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), JpegFault> {
        self.end_of_band_run = 0;
        self.bits.restart(number)
    }

    /// Reads a block with the tables of the first and of the other coefficients.
    pub(super) fn read(&mut self, tables: [Option<&HuffmanTable>; 2], history: &mut u64) -> Result<(), JpegFault> {
        let (first, last) = (*self.band.coefficients.start(), *self.band.coefficients.end());
        let [dc, ac] = tables;
        if first == 0 {
            if self.band.is_refinement {
                self.bits.take(1)?;
            } else {
                let size = self.bits.symbol(dc.ok_or(JpegFault::Damaged)?)?;
                self.value(size)?;
            }
        }
        if last == 0 {
            return Ok(());
        }
        let ac = ac.ok_or(JpegFault::Damaged)?;
        if self.band.is_refinement {
            self.refine(ac, history)
        } else {
            self.begin(ac, history)
        }
    }

    /// Reads coefficients that no earlier scan has begun.
    fn begin(&mut self, table: &HuffmanTable, history: &mut u64) -> Result<(), JpegFault> {
        if self.end_of_band_run > 0 {
            self.end_of_band_run -= 1;
            return Ok(());
        }
        let last = *self.band.coefficients.end();
        let mut at = (*self.band.coefficients.start()).max(1);
        while at <= last {
            let (run, size) = self.run_and_size(table)?;
            if size > 0 {
                at += run as usize;
                if at > last {
                    return Err(JpegFault::Damaged);
                }
                self.value(size)?;
                *history |= 1 << at;
                at += 1;
            } else if run == LONG_RUN {
                at += 16;
            } else {
                self.end_of_band_run = self.end_of_band(run)? - 1;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads one bit more of coefficients that earlier scans have begun. Those that are not zero have a bit each, between the symbols
    /// for those that become so.
    fn refine(&mut self, table: &HuffmanTable, history: &mut u64) -> Result<(), JpegFault> {
        let last = *self.band.coefficients.end();
        let mut at = *self.band.coefficients.start();
        while at <= last && self.end_of_band_run == 0 {
            let (run, size) = self.run_and_size(table)?;
            if size == 0 && run < LONG_RUN {
                self.end_of_band_run = self.end_of_band(run)?;
                break;
            }
            self.value(size)?;
            at = self.skip_zeros(at, run, *history)?;
            if size > 0 && at <= last {
                *history |= 1 << at;
            }
            at += 1;
        }
        if self.end_of_band_run > 0 {
            self.skip_zeros(at, u32::MAX, *history)?;
            self.end_of_band_run -= 1;
        }
        Ok(())
    }

    /// Reads the bits of coefficients that are not zero, up to the zero after `run` others. Returns its place.
    fn skip_zeros(&mut self, from: usize, mut run: u32, history: u64) -> Result<usize, JpegFault> {
        let last = *self.band.coefficients.end();
        for at in from..=last {
            if history >> at & 1 == 1 {
                self.bits.take(1)?;
            } else if run == 0 {
                return Ok(at);
            } else {
                run -= 1;
            }
        }
        Ok(last + 1)
    }

    /// A symbol: how many zeros are skipped, and how many bits the value after them has.
    fn run_and_size(&mut self, table: &HuffmanTable) -> Result<(u32, u8), JpegFault> {
        let symbol = self.bits.symbol(table)?;
        Ok((u32::from(symbol >> 4), symbol & 15))
    }

    /// The number of blocks, from this one, that have nothing more in the band. Other than in a progressive scan it is this one.
    fn end_of_band(&mut self, run: u32) -> Result<u32, JpegFault> {
        if self.band.is_sequential {
            return Ok(1);
        }
        Ok((1 << run) + self.bits.take(run)?)
    }

    fn value(&mut self, bits: u8) -> Result<(), JpegFault> {
        if bits > 16 {
            return Err(JpegFault::Damaged);
        }
        self.bits.take(u32::from(bits)).map(drop)
    }
}
