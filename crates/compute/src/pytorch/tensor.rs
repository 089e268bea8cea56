//! From a view of a storage to numbers in row-major order.

use super::element::ElementType;
use super::pickle::View;

/// Why a view has no numbers.
pub(super) type Reason = String;

/// The shape of a view, if all its elements could lie in memory at once.
pub(super) fn shape(view: &View) -> Result<Vec<usize>, Reason> {
    let shape: Option<Vec<usize>> = view.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let shape = shape.ok_or_else(|| format!("a shape of {:?} is too large", view.shape))?;
    match element_count(&shape) {
        Some(_) => Ok(shape),
        None => Err(format!("a shape of {shape:?} is too large")),
    }
}

/// The elements of a shape; without one of size 0 their product must be a number.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    match shape.contains(&0) {
        true => Some(0),
        false => shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size)),
    }
}

/// The numbers of a view of `shape` over the bytes of its storage, which are turned round if they are
/// `big_endian`.
pub(super) fn numbers(view: &View, shape: &[usize], bytes: &[u8], big_endian: bool) -> Result<Vec<f32>, Reason> {
    let count = element_count(shape).unwrap_or(0);
    if count == 0 {
        return Ok(Vec::new());
    }
    let steps = Steps::within(view, shape, bytes.len())?;
    let (row, outer) = shape.split_last().unwrap_or((&1, &[]));
    let step = steps.strides.last().copied().unwrap_or(0);
    let mut numbers = Vec::with_capacity(count);
    let mut index = vec![0_usize; outer.len()];
    let mut place = steps.first;
    loop {
        for column in 0..*row {
            let next = number(view.element, bytes, place + column * step, big_endian);
            numbers.push(next.ok_or("its bytes are not in the file")?);
        }
        // The last outer dimension that is not at its end goes on by one, those after it begin again.
        let Some(moving) = (0..outer.len()).rev().find(|&axis| index[axis] + 1 < outer[axis]) else {
            return Ok(numbers);
        };
        for (index, stride) in index.iter_mut().zip(&steps.strides).skip(moving + 1) {
            place -= *index * stride;
            *index = 0;
        }
        index[moving] += 1;
        place += steps.strides[moving];
    }
}

/// A view that has been held against its storage, in elements of it.
struct Steps {
    first: usize,
    strides: Vec<usize>,
}

impl Steps {
    /// `length` is that of the storage in bytes.
    fn within(view: &View, shape: &[usize], length: usize) -> Result<Steps, Reason> {
        let held = (length / view.element.size()) as u64;
        let last = shape
            .iter()
            .zip(&view.strides)
            .try_fold(view.offset, |last, (&size, &stride)| {
                last.checked_add(stride.checked_mul(size as u64 - 1)?)
            });
        let in_storage = last.is_some_and(|last| last < elements(view));
        let in_file = last.and_then(|last| last.checked_add(view.storage.first));
        if !in_storage || in_file.is_none_or(|last| last >= held) {
            return Err(format!(
                "offset {}, shape {shape:?} and strides {:?} reach beyond the {held} elements of its storage; \
                 save the file again",
                view.offset, view.strides
            ));
        }
        // A dimension of one element is never stepped along, and its stride can be anything.
        let strides = shape.iter().zip(&view.strides);
        Ok(Steps {
            first: (view.storage.first + view.offset) as usize,
            strides: strides
                .map(|(&size, &stride)| if size == 1 { 0 } else { stride as usize })
                .collect(),
        })
    }
}

/// The elements that the pickle says the storage has.
fn elements(view: &View) -> u64 {
    match view.storage.element {
        Some(_) => view.storage.count,
        None => view.storage.count / view.element.size() as u64,
    }
}

fn number(element: ElementType, bytes: &[u8], place: usize, big_endian: bool) -> Option<f32> {
    let size = element.size();
    let own = bytes.get(place * size..place * size + size)?;
    if !big_endian {
        return element.number(own);
    }
    let mut turned = [0; 16];
    let turned = turned.get_mut(..size)?;
    turned.copy_from_slice(own);
    turned.reverse();
    element.number(turned)
}
