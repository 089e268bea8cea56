//! The frame of an image, its components, and the scans that they are coded in.

use std::ops::RangeInclusive;

use super::super::MAX_SIDE_PIXELS;
use super::{JpegFault, TABLES, word};

/// Samples per row and column of a block.
const BLOCK_SIDE: usize = 8;

/// Coefficients of a block.
const COEFFICIENTS: usize = 64;

/// The largest sampling factor.
const MAX_SAMPLING: usize = 4;

/// An image, and what of it has been coded so far.
pub(super) struct Frame {
    pub(super) components: Vec<Component>,
    is_progressive: bool,
    units: [usize; 2],
}

/// A colour component.
pub(super) struct Component {
    id: u8,
    /// Columns and rows of blocks in a unit of several components.
    sampling: [usize; 2],
    /// Columns and rows of blocks that contain samples.
    blocks: [usize; 2],
    /// Columns of units of several components.
    units_per_row: usize,
    /// For each block, which of its coefficients are not zero, one bit each.
    pub(super) history: Vec<u64>,
    /// For each coefficient, how many of its low bits have not been coded. `None` if nothing of it has.
    missing_bits: [Option<u8>; COEFFICIENTS],
}

/// The coefficients and bits that a scan codes.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// The coefficients, in the order of coding.
    pub(super) coefficients: RangeInclusive<usize>,
    /// Whether the scan refines coefficients that an earlier one began.
    pub(super) is_refinement: bool,
    /// How many low bits it leaves to later scans.
    missing_bits: u8,
    /// Whether the scan codes all of a block at once.
    pub(super) is_sequential: bool,
}

/// The header of a scan.
pub(super) struct Scan {
    pub(super) parts: Vec<ScanPart>,
    pub(super) band: Band,
}

/// A component of a scan, with its tables.
pub(super) struct ScanPart {
    pub(super) component: usize,
    pub(super) dc_table: usize,
    pub(super) ac_table: usize,
}

impl Frame {
    pub(super) fn read(segment: &[u8], is_progressive: bool) -> Result<Self, JpegFault> {
        let [height, width] = [word(segment, 1)?, word(segment, 3)?].map(usize::from);
        let described = segment.get(6..).unwrap_or_default().chunks_exact(3);
        let described: Vec<(u8, [usize; 2])> = described
            .map(|bytes| (bytes[0], [bytes[1] >> 4, bytes[1] & 15].map(usize::from)))
            .collect();
        let sides = 1..=MAX_SIDE_PIXELS as usize;
        let is_valid =
            |&(_, sampling): &(u8, [usize; 2])| sampling.iter().all(|side| (1..=MAX_SAMPLING).contains(side));
        let has_all = (1..=4).contains(&described.len()) && segment.get(5) == Some(&(described.len() as u8));
        if !sides.contains(&height) || !sides.contains(&width) || !has_all || !described.iter().all(is_valid) {
            return Err(JpegFault::Damaged);
        }
        let most = [0, 1].map(|side| described.iter().map(|(_, sampling)| sampling[side]).max().unwrap_or(1));
        let pixels = [width, height];
        let units = [0, 1].map(|side| pixels[side].div_ceil(BLOCK_SIDE * most[side]));
        let component = |(id, sampling): (u8, [usize; 2])| Component {
            id,
            sampling,
            blocks: [0, 1].map(|side| (pixels[side] * sampling[side]).div_ceil(BLOCK_SIDE * most[side])),
            units_per_row: units[0],
            history: vec![0; units[0] * sampling[0] * units[1] * sampling[1]],
            missing_bits: [None; COEFFICIENTS],
        };
        Ok(Self {
            components: described.into_iter().map(component).collect(),
            is_progressive,
            units,
        })
    }

    /// Whether all that was begun has been coded to its last bit.
    pub(super) fn is_complete(&self) -> bool {
        let is_complete = |component: &Component| {
            component.missing_bits[0].is_some() && component.missing_bits.iter().flatten().all(|&bits| bits == 0)
        };
        self.components.iter().all(is_complete)
    }

    /// Notes what a scan has coded.
    pub(super) fn record(&mut self, scan: &Scan) -> Result<(), JpegFault> {
        for part in &scan.parts {
            let coded = self.components[part.component]
                .missing_bits
                .get_mut(scan.band.coefficients.clone());
            coded.ok_or(JpegFault::Damaged)?.fill(Some(scan.band.missing_bits));
        }
        Ok(())
    }
}

impl Component {
    /// The blocks of a unit of a scan: of one component alone, each block that contains samples is a unit.
    pub(super) fn places(&self, unit: usize, has_others: bool) -> impl Iterator<Item = usize> + use<> {
        let ([columns, rows], per_row) = if has_others {
            (self.sampling, self.units_per_row)
        } else {
            ([1, 1], self.blocks[0])
        };
        let stride = self.units_per_row * self.sampling[0];
        let first = unit / per_row * rows * stride + unit % per_row * columns;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| first + row * stride + column))
    }
}

impl Scan {
    pub(super) fn read(segment: &[u8], frame: &Frame) -> Result<Self, JpegFault> {
        let Some((&count, rest)) = segment.split_first() else {
            return Err(JpegFault::Damaged);
        };
        let (parts, rest) = rest
            .split_at_checked(2 * usize::from(count))
            .ok_or(JpegFault::Damaged)?;
        let parts = parts.chunks_exact(2).map(|bytes| {
            let component = frame.components.iter().position(|component| component.id == bytes[0]);
            let [dc_table, ac_table] = [bytes[1] >> 4, bytes[1] & 15].map(usize::from);
            component
                .filter(|_| dc_table < TABLES && ac_table < TABLES)
                .map(|component| ScanPart {
                    component,
                    dc_table,
                    ac_table,
                })
                .ok_or(JpegFault::Damaged)
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let &[first, last, bits] = rest else {
            return Err(JpegFault::Damaged);
        };
        let band = if frame.is_progressive {
            Band {
                coefficients: usize::from(first)..=usize::from(last),
                is_refinement: bits >> 4 > 0,
                missing_bits: bits & 15,
                is_sequential: false,
            }
        } else {
            Band {
                coefficients: 0..=COEFFICIENTS - 1,
                is_refinement: false,
                missing_bits: 0,
                is_sequential: true,
            }
        };
        // A scan codes either the first coefficient alone or others, and others only of one component.
        let is_mixed = first == 0 && last > 0 || first > 0 && parts.len() > 1;
        let is_invalid = first > last || usize::from(last) >= COEFFICIENTS || is_mixed;
        if parts.is_empty() || frame.is_progressive && is_invalid {
            return Err(JpegFault::Damaged);
        }
        Ok(Self { parts, band })
    }

    /// The number of units that the scan is coded in.
    pub(super) fn units(&self, frame: &Frame) -> usize {
        let [columns, rows] = match self.parts.as_slice() {
            [part] => frame.components[part.component].blocks,
            _ => frame.units,
        };
        columns * rows
    }
}
