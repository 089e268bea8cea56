//! Reads a view of a storage into numbers in row-major order.

use super::entry::{Entry, Reason, element_count};
use crate::pytorch::element::ElementType;

/// The numbers of a tensor from the bytes of its storage, whose byte order is reversed if they are `big_endian`.
pub(super) fn numbers(entry: &Entry, bytes: &[u8], big_endian: bool) -> Result<Vec<f32>, Reason> {
    let shape = entry.shape.as_slice();
    let count = element_count(shape).unwrap_or(0);
    if count == 0 {
        return Ok(Vec::new());
    }
    let layout = CheckedLayout::new(entry, bytes.len())?;
    let (row, outer) = shape.split_last().unwrap_or((&1, &[]));
    let step = layout.strides.last().copied().unwrap_or(0);
    let mut numbers = Vec::with_capacity(count);
    let mut index = vec![0_usize; outer.len()];
    let mut position = layout.first;
    loop {
        for column in 0..*row {
            let next = number(entry.element, bytes, position + column * step, big_endian);
            numbers.push(next.ok_or("its bytes are not in the file")?);
        }
        // The last outer dimension that is not at its end advances by one; those after it start again at 0.
        let Some(moving) = (0..outer.len()).rev().find(|&axis| index[axis] + 1 < outer[axis]) else {
            return Ok(numbers);
        };
        for (index, stride) in index.iter_mut().zip(&layout.strides).skip(moving + 1) {
            position -= *index * stride;
            *index = 0;
        }
        index[moving] += 1;
        position += layout.strides[moving];
    }
}

/// The layout of a view that does not exceed its storage, in elements.
struct CheckedLayout {
    first: usize,
    strides: Vec<usize>,
}

impl CheckedLayout {
    /// Checks a view against its storage, of which `length` bytes are in the file.
    fn new(entry: &Entry, length: usize) -> Result<CheckedLayout, Reason> {
        let (view, shape) = (&entry.place, entry.shape.as_slice());
        let held = (length / entry.element.size()) as u64;
        let last = shape
            .iter()
            .zip(&view.strides)
            .try_fold(view.offset, |last, (&size, &stride)| {
                last.checked_add(stride.checked_mul(size as u64 - 1)?)
            });
        let in_storage = last.is_some_and(|last| last < view.count);
        let in_file = last.and_then(|last| last.checked_add(view.first));
        if !in_storage || in_file.is_none_or(|last| last >= held) {
            return Err(format!(
                "offset {}, shape {shape:?} and strides {:?} reach beyond the {held} elements of its storage; \
                 save the file again",
                view.offset, view.strides
            ));
        }
        // The stride of a dimension of one element is never used, and can be anything.
        let strides = shape.iter().zip(&view.strides);
        Ok(CheckedLayout {
            first: (view.first + view.offset) as usize,
            strides: strides
                .map(|(&size, &stride)| if size == 1 { 0 } else { stride as usize })
                .collect(),
        })
    }
}

fn number(element: ElementType, bytes: &[u8], position: usize, big_endian: bool) -> Option<f32> {
    let size = element.size();
    let own = bytes.get(position * size..position * size + size)?;
    if !big_endian {
        return element.number(own);
    }
    let mut reversed = [0; 16];
    let reversed = reversed.get_mut(..size)?;
    reversed.copy_from_slice(own);
    reversed.reverse();
    element.number(reversed)
}
