//! Checks that a JPEG file contains its whole image.
//!
//! The decoder fills what is missing with grey or with noise, and an end of image tells nothing: anything may stand behind a cut. So
//! the coded data is read here as a decoder reads it, except for the numbers: every block of every scan must be there. What follows
//! the end of the image, such as the film of a motion photo, is not looked at.

use std::ops::RangeInclusive;

use bits::{Bits, HuffmanTable};
use blocks::BlockReader;
use frame::{Frame, Scan};

mod bits;
mod blocks;
mod frame;
#[cfg(test)]
mod tests;

/// Scans of one image: each may cover all blocks in a few bytes.
const MAX_SCANS: usize = 100;

/// Tables of each class, of which a scan names one for each component.
const TABLES: usize = 4;

const END_OF_IMAGE: u8 = 0xd9;
/// Markers without a segment.
const STANDALONE: [RangeInclusive<u8>; 2] = [0x01..=0x01, 0xd0..=0xd8];

/// Why a JPEG file cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JpegFault {
    /// It ends, or its coded data ends, before the image is complete.
    CutOff,
    /// It breaks the rules of the format.
    Damaged,
}

/// The number of colour components of a whole image; `None` for a kind of JPEG that is not checked because the decoder refuses it.
///
/// # Errors
/// The image is not complete, or breaks the rules of the format.
pub(super) fn components_of_whole(file: &[u8]) -> Result<Option<usize>, JpegFault> {
    let mut walk = Walk {
        file,
        position: 0,
        frame: None,
        dc_tables: Default::default(),
        ac_tables: Default::default(),
        restart_interval: 0,
        scans: 0,
    };
    loop {
        let marker = walk.next_marker()?;
        if marker == END_OF_IMAGE {
            let frame = walk.frame.filter(Frame::is_complete).ok_or(JpegFault::CutOff)?;
            return Ok(Some(frame.components.len()));
        }
        if STANDALONE.iter().any(|markers| markers.contains(&marker)) {
            continue;
        }
        let segment = walk.segment()?;
        match marker {
            0xc0..=0xc2 => walk.begin_frame(segment, marker == 0xc2)?,
            0xc4 => walk.read_tables(segment)?,
            // Lossless, hierarchical and arithmetic coding.
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Ok(None),
            0xda => walk.read_scan(segment)?,
            0xdd => walk.restart_interval = usize::from(word(segment, 0)?),
            _ => {}
        }
    }
}

/// What has been read of a file.
struct Walk<'a> {
    file: &'a [u8],
    position: usize,
    frame: Option<Frame>,
    dc_tables: [Option<HuffmanTable>; TABLES],
    ac_tables: [Option<HuffmanTable>; TABLES],
    restart_interval: usize,
    scans: usize,
}

impl<'a> Walk<'a> {
    /// The next marker.
    fn next_marker(&mut self) -> Result<u8, JpegFault> {
        let rest = &self.file[self.position..];
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        let at = rest.windows(2).position(is_marker).ok_or(JpegFault::CutOff)?;
        self.position += at + 2;
        Ok(rest[at + 1])
    }

    /// The content of the segment at the position.
    fn segment(&mut self) -> Result<&'a [u8], JpegFault> {
        let rest = &self.file[self.position..];
        let length = usize::from(word(rest, 0).map_err(|_| JpegFault::CutOff)?);
        if length < 2 {
            return Err(JpegFault::Damaged);
        }
        self.position += length;
        rest.get(2..length).ok_or(JpegFault::CutOff)
    }

    fn begin_frame(&mut self, segment: &[u8], is_progressive: bool) -> Result<(), JpegFault> {
        if self.frame.is_some() {
            return Err(JpegFault::Damaged);
        }
        self.frame = Some(Frame::read(segment, is_progressive)?);
        Ok(())
    }

    fn read_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegFault> {
        while let Some((&target, rest)) = segment.split_first() {
            let (table, rest) = HuffmanTable::read(rest)?;
            let tables = if target >> 4 == 0 {
                &mut self.dc_tables
            } else {
                &mut self.ac_tables
            };
            *tables.get_mut(usize::from(target & 15)).ok_or(JpegFault::Damaged)? = Some(table);
            segment = rest;
        }
        Ok(())
    }

    /// Reads the coded data of a scan.
    fn read_scan(&mut self, segment: &[u8]) -> Result<(), JpegFault> {
        self.scans += 1;
        let frame = self.frame.as_mut().ok_or(JpegFault::Damaged)?;
        if self.scans > MAX_SCANS {
            return Err(JpegFault::Damaged);
        }
        let scan = Scan::read(segment, frame)?;
        let mut reader = BlockReader {
            bits: Bits::new(self.file, self.position),
            band: scan.band.clone(),
            end_of_band_run: 0,
        };
        for unit in 0..scan.units(frame) {
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                reader.restart(unit / self.restart_interval - 1)?;
            }
            for part in &scan.parts {
                let component = &mut frame.components[part.component];
                let tables = [&self.dc_tables[part.dc_table], &self.ac_tables[part.ac_table]].map(Option::as_ref);
                for place in component.places(unit, scan.parts.len() > 1) {
                    reader.read(tables, &mut component.history[place])?;
                }
            }
        }
        reader.bits.finish()?;
        self.position = reader.bits.position();
        frame.record(&scan)
    }
}

/// A number of two bytes.
fn word(bytes: &[u8], at: usize) -> Result<u16, JpegFault> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(JpegFault::Damaged),
    }
}
