//! Arrays in NumPy's `.npy` files: single-precision numbers in row-major order.

use anyhow::{Context as _, bail, ensure};

use scv_compute::trace::Numbers;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads the bytes of a file.
///
/// # Errors
/// It is not such a file, or contains other numbers.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Numbers> {
    ensure!(bytes.starts_with(MAGIC), "it is not a .npy file");
    let (version, rest) = bytes[MAGIC.len()..]
        .split_first_chunk::<2>()
        .context("it ends in its header")?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().context("it ends in its header")?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        _ => {
            let (length, rest) = rest.split_first_chunk::<4>().context("it ends in its header")?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
    };
    let (header, data) = rest.split_at_checked(length).context("it ends in its header")?;
    let header = std::str::from_utf8(header).context("its header is not text")?;
    ensure!(
        header.contains("'<f4'"),
        "its numbers are not float32: save it with .astype(\"float32\")"
    );
    ensure!(
        header.contains("'fortran_order': False"),
        "it is stored in column-major order: save it with np.ascontiguousarray"
    );
    let shape = shape(header)?;
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &length| count.checked_mul(length));
    let (values, []) = data.as_chunks::<4>() else {
        bail!("it ends inside a number");
    };
    ensure!(
        count == Some(values.len()),
        "it contains {} numbers for the shape {shape:?}",
        values.len()
    );
    Ok(Numbers {
        shape,
        values: values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    })
}

fn shape(header: &str) -> anyhow::Result<Vec<usize>> {
    let listed = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'));
    let (listed, _) = listed.context("its header has no shape")?;
    let lengths = listed.split(',').map(str::trim).filter(|length| !length.is_empty());
    lengths
        .map(|length| length.parse().context("its header has no shape"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn file(header: &str, numbers: &[f32]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    #[test]
    fn an_array_has_its_shape_and_its_numbers() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
        let numbers = read(&file(header, &[1.0, 2.5])).unwrap();
        assert_eq!((numbers.shape, numbers.values), (vec![2, 1], vec![1.0, 2.5]));
    }

    #[test]
    fn an_invalid_file_is_refused_with_the_reason() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
        let doubles = read(&file(header, &[0.0; 4])).unwrap_err().to_string();
        assert!(doubles.contains("float32"), "{doubles}");
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999999), }";
        let short = read(&file(header, &[0.0; 4])).unwrap_err().to_string();
        assert!(short.contains("it contains 4 numbers"), "{short}");
        assert!(read(b"\x93NUMPY\x01").is_err());
    }
}
