//! Small files that claim to be large.

use super::*;
use crate::activations::numbers::{NumberFormat, NumberKind, Order};

const MEBIBYTE: usize = 1 << 20;

fn zeros(shape: &str, bytes: usize) -> Vec<u8> {
    let file = npz(CompressionMethod::Deflated, &[("zeros", npy(shape, &vec![0; bytes]))]);
    assert!(file.len() < bytes / 500, "{} bytes", file.len());
    file
}

/// Overwrites the unpacked size that the archive claims for its only entry.
fn claim(mut file: Vec<u8>, unpacked: u32) -> Vec<u8> {
    let record = file.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    file[record + 24..record + 28].copy_from_slice(&unpacked.to_le_bytes());
    file
}

fn only_error(file: &[u8], layer_bytes: u64) -> ActivationError {
    let limits = ActivationLimits { probes: 4, layer_bytes };
    let mut found = check(file, limits).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn zeros_beyond_the_limit_of_a_layer_are_refused() {
    let error = only_error(&zeros("(4, 1048576)", 16 * MEBIBYTE), 8 << 20);
    assert_eq!(error.rule, ActivationRule::Limit);
    assert_eq!(
        error.message,
        "Array zeros takes 16 MiB in single precision, but a layer may take at most 8 MiB; \
         pool it over its positions, or leave it out."
    );
}

#[test]
fn zeros_that_the_header_does_not_declare_are_not_inflated() {
    let file = zeros("(4, 4)", 16 * MEBIBYTE);
    let header = npy("(4, 4)", &[]).len();
    let error = only_error(&file, 1 << 20);
    assert_eq!(error.rule, ActivationRule::Readable);
    assert!(error.message.contains("declares 64 bytes"), "{}", error.message);

    // The archive claims the declared size too. Only that many bytes are read before the claim turns out to be wrong.
    let false_claim = claim(file, header as u32 + 64);
    let open = ActivationFile::open(&false_claim, limits(4)).unwrap();
    let (_, numbers) = open.layers().next().unwrap();
    let error = numbers.unwrap_err();
    assert!(error.message.contains("larger than its declared"), "{}", error.message);
    assert_eq!(open.verify(), Err(vec![error]));
}

#[test]
fn numbers_that_cannot_be_in_the_archive_are_refused_before_memory_is_reserved_for_them() {
    let array = npy("(4, 200000000)", &[0; 64]);
    let header = array.len() - 64;
    let small = npz(CompressionMethod::Deflated, &[("zeros", array)]);
    let error = only_error(&claim(small, header as u32 + 3_200_000_000), u64::MAX);
    assert_eq!(error.rule, ActivationRule::Readable);
    assert!(error.message.contains("declares 3200000000 bytes"), "{}", error.message);
}

#[test]
fn all_arrays_together_may_not_unpack_to_more_than_the_limit() {
    let limits = ActivationLimits {
        probes: 4,
        layer_bytes: u64::MAX,
    };
    let mut checker = ArrayChecker::new(limits);
    let layout = ArrayLayout {
        number: NumberFormat::little(NumberKind::F32),
        order: Order::RowMajor,
        shape: vec![4, 2 << 30],
    };
    // 32 GiB each.
    for name in ["a", "b", "c", "d"] {
        checker.check_size(name, &layout);
    }
    let [error] = checker.errors.as_slice() else {
        panic!("{:?}", checker.errors)
    };
    assert_eq!((error.array.as_deref(), error.rule), (Some("c"), ActivationRule::Limit));
    assert!(
        error.message.contains("at most 65536 MiB in total"),
        "{}",
        error.message
    );
}

#[test]
fn a_directory_of_very_many_entries_is_refused_before_it_is_listed() {
    let file = [b"PK\x03\x04".as_slice(), &b"PK\x01\x02".repeat(5_000)].concat();
    let error = only_error(&file, 1 << 20);
    assert_eq!((error.rule, error.actual.as_str()), (ActivationRule::Limit, "5000"));
}
