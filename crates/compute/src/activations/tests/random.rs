//! Any bytes are either read or refused.

use proptest::prelude::*;

use super::*;

/// Reads everything that can be read. Only a panic would be a failure.
fn survive(bytes: &[u8]) {
    let Ok(file) = ActivationFile::open(bytes, limits(GOLDEN_PROBES)) else {
        return;
    };
    let damage = file.verify().err().unwrap_or_default();
    let failed = file.layers().filter(|(_, numbers)| numbers.is_err()).count();
    assert_eq!(failed, damage.len());
}

fn files() -> Vec<Vec<u8>> {
    [
        "stored.npz",
        "deflated.npz",
        "versions.npz",
        "invalid.npz",
        "ordered.safetensors",
    ]
    .map(golden)
    .to_vec()
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..4_usize) {
        let beginning: &[u8] = [b"PK\x03\x04".as_slice(), b"PK\x05\x06", b"\x40\0\0\0\0\0\0\0{", b""][kind];
        bytes.splice(0..0, beginning.iter().copied());
        survive(&bytes);
    }

    #[test]
    fn no_changed_bytes_make_the_reader_panic(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = files().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            let cut = cut.index(bytes.len());
            bytes.remove(cut);
        }
        survive(&bytes);
    }

    #[test]
    fn no_header_text_makes_the_reader_panic(text in "[{}()',:\\[\\]0-9 a-zTFL<>é]{0,80}") {
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        let array = [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat();
        survive(&npz(CompressionMethod::Stored, &[("a", array)]));
    }

    #[test]
    fn column_major_arrays_are_read_as_row_major_ones(shape in prop::collection::vec(1..5_usize, 0..4)) {
        let shape = [vec![GOLDEN_PROBES], shape].concat();
        let count: usize = shape.iter().product();
        let written = |order: &str, numbers: Vec<f32>| {
            let tuple: String = shape.iter().map(|length| format!("{length}, ")).collect();
            let header = npy(&format!("({tuple})"), &[]);
            let text = String::from_utf8_lossy(&header[10..]).replace("False", order);
            let length = u16::try_from(text.len()).unwrap().to_le_bytes();
            let array = [&header[..8], &length, text.as_bytes(), &floats(&numbers)].concat();
            read(&npz(CompressionMethod::Deflated, &[("a", array)]), GOLDEN_PROBES)
        };
        // The column-major position of each row-major position.
        let column_major = |mut row_major: usize| {
            let mut index = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                index[axis] = row_major % shape[axis];
                row_major /= shape[axis];
            }
            index.iter().zip(&shape).rev().fold(0, |position, (index, length)| position * length + index)
        };
        let mut columns = vec![0.0; count];
        (0..count).for_each(|at| columns[column_major(at)] = at as f32);
        let rows = (0..count).map(|at| at as f32).collect();
        prop_assert_eq!(written("True", columns), written("False", rows));
    }
}
