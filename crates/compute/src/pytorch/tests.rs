//! Files written by PyTorch, compared with what PyTorch reads from them; and malicious files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::element::ElementType;
use super::*;
use crate::tensor_file::{TensorDict, TensorFile};

/// The folder that `scripts/golden_pytorch.py` wrote.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pytorch")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// The dicts of a file, without their numbers.
fn dicts(name: &str) -> Vec<TensorDict> {
    open(&file(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .dicts
}

/// The dict with the most tensors.
fn largest(dicts: Vec<TensorDict>) -> TensorDict {
    dicts.into_iter().rev().max_by_key(|dict| dict.entries.len()).unwrap()
}

/// The numbers of each tensor of the largest dict, none for those that are not floating point.
fn numbers(bytes: &[u8]) -> Result<Vec<Option<Vec<f32>>>, PytorchError> {
    let TensorFile { dicts, mut storages } = open(bytes)?;
    let entries = largest(dicts).entries;
    entries.iter().map(|entry| storages.numbers(entry)).collect()
}

fn refusal(bytes: &[u8]) -> String {
    numbers(bytes).unwrap_err().to_string()
}

fn paths(dicts: &[TensorDict]) -> Vec<&str> {
    dicts.iter().map(|dict| dict.path.as_str()).collect()
}

#[derive(Deserialize)]
struct Expected {
    key: String,
    element: String,
    shape: Vec<usize>,
    numbers: Option<Vec<f32>>,
}

fn expected() -> BTreeMap<String, Vec<Expected>> {
    let mut golden: Value = serde_json::from_slice(&file("expected.json")).unwrap();
    serde_json::from_value(golden["files"].take()).unwrap()
}

fn assert_same(name: &str, expected: &[Expected]) {
    let bytes = file(name);
    assert!(is_pytorch(&bytes), "{name}");
    let entries = largest(dicts(name)).entries;
    assert_eq!(entries.len(), expected.len(), "{name}");
    for ((entry, numbers), expected) in entries.iter().zip(numbers(&bytes).unwrap()).zip(expected) {
        let place = format!("{name}: {}", entry.key);
        assert_eq!(
            entry.key.strip_prefix("module.").unwrap_or(&entry.key),
            expected.key,
            "{name}"
        );
        assert_eq!(entry.element.to_string(), expected.element, "{place}");
        assert_eq!(entry.shape, expected.shape, "{place}");
        let expected = expected
            .numbers
            .as_ref()
            .filter(|_| entry.element != ElementType::Float8);
        assert_eq!(numbers.as_ref(), expected, "{place}");
    }
}

#[test]
fn every_file_is_read_as_pytorch_reads_it() {
    let files = expected();
    assert_eq!(files.len(), 21);
    for (name, expected) in files {
        assert_same(&name, &expected);
    }
}

#[test]
fn a_training_state_says_where_its_tensors_are() {
    for name in ["training_zip.pth", "training_legacy.pth"] {
        let dict = largest(dicts(name));
        assert_eq!(dict.path, "state_dict");
        assert!(dict.entries.iter().any(|entry| entry.key == "module.classifier.weight"));
    }
    assert_eq!(paths(&dicts("plain_zip.pth")), [""]);
}

#[test]
fn tensors_without_floating_point_numbers_keep_their_entry() {
    let dict = &dicts("plain_zip.pth")[0];
    let position = dict
        .entries
        .iter()
        .position(|entry| entry.key == "1.num_batches_tracked");
    let counter = &dict.entries[position.unwrap()];
    assert_eq!(
        (counter.element, counter.shape.as_slice()),
        (ElementType::Int64, [].as_slice())
    );
    assert_eq!(numbers(&file("plain_zip.pth")).unwrap()[position.unwrap()], None);
}

#[test]
fn the_tensors_of_a_whole_model_are_read_from_its_attributes() {
    let keys = |name: &str| -> Vec<String> {
        let [dict] = dicts(name).try_into().unwrap();
        assert_eq!(dict.path, "");
        dict.entries.into_iter().map(|entry| entry.key).collect()
    };
    assert_eq!(keys("whole_layers.pth").first().map(String::as_str), Some("0.weight"));
    assert!(keys("whole_class.pth").contains(&"classifier.weight".to_owned()));
}

#[test]
fn what_a_pickle_calls_beside_its_tensors_is_skipped() {
    for name in ["hostile_beside_tensors_zip.pth", "hostile_beside_tensors_legacy.pth"] {
        assert!(!dicts(name)[0].entries.is_empty(), "{name}");
    }
}

/// A pickle of modules, of which each has the one before it as two of its parts.
fn shared_modules(count: usize) -> Vec<u8> {
    let module = |index: usize| {
        let part = match index {
            0 => b"N".to_vec(),
            _ => vec![b'h', index as u8 - 1],
        };
        let begin = b"ca\nB\n)\x81}(U\x0b_parameters}U\x08_buffers}U\x08_modules}(U\x01a";
        let end = [b'q', index as u8, b'0'];
        [begin.as_slice(), &part, b"U\x01b", &part, b"uub", &end].concat()
    };
    let modules = (0..count).map(module).collect::<Vec<_>>().concat();
    [&modules, [b'h', count as u8 - 1, b'.'].as_slice()].concat()
}

#[test]
fn small_pickles_with_many_paths_to_one_value_are_refused() {
    let found = |bytes: &[u8]| {
        let pickle = pickle::read(bytes, 0).unwrap();
        tree::dicts(&pickle.values, pickle.root).map(|found| found.len())
    };
    assert_eq!(found(&shared_modules(10)), Ok(0));
    assert!(
        found(&shared_modules(30))
            .unwrap_err()
            .to_string()
            .contains("more dicts of tensors")
    );
}

#[test]
fn programs_and_calls_alone_are_refused_with_what_to_do() {
    for (name, start) in [
        (
            "hostile_zip.pth",
            "the file holds no dict of tensors: it is an object of posix.system,",
        ),
        (
            "hostile_legacy.pth",
            "the file holds no dict of tensors: it is an object of posix.system,",
        ),
        ("script.pth", "the file is a TorchScript program, which holds code;"),
    ] {
        let bytes = file(name);
        assert!(is_pytorch(&bytes), "{name}");
        let message = refusal(&bytes);
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains("SCV never executes pickles"), "{message}");
        assert!(
            message.ends_with("torch.save(model.state_dict(), path) or safetensors.torch.save_file"),
            "{message}"
        );
    }
}

#[test]
fn every_dict_of_tensors_in_a_file_is_found() {
    assert_eq!(paths(&dicts("two_networks.pth")), ["model", "net"]);
    assert!(refusal(&file("no_tensors.pth")).contains("a dict without tensors, whose keys are epoch, loss;"));
    assert!(refusal(&file("one_tensor.pth")).contains("it is a single tensor;"));
}

#[test]
fn other_files_are_not_recognised_as_pytorch() {
    let mut other_zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    other_zip
        .start_file("a.npy", zip::write::SimpleFileOptions::default())
        .unwrap();
    let other_zip = other_zip.finish().unwrap().into_inner();
    let safetensors = b"\x08\0\0\0\0\0\0\0{}      ".to_vec();
    for bytes in [
        vec![],
        b"PK".to_vec(),
        safetensors,
        b"\x80\x02}.".to_vec(),
        other_zip,
        vec![0x80; 100],
    ] {
        assert!(!is_pytorch(&bytes));
        assert!(
            refusal(&bytes).starts_with("the file was not written by torch.save"),
            "{}",
            refusal(&bytes)
        );
    }
}

#[test]
fn a_file_that_ends_early_is_refused() {
    for name in ["plain_legacy.pth", "views_zip.pth", "deflated.pth"] {
        let whole = file(name);
        for length in 0..whole.len() {
            assert!(numbers(&whole[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

/// A legacy file of one float tensor `w` over the bytes of `floats`.
fn legacy(offset: &[u8], shape: &[u8], strides: &[u8], floats: &[f32]) -> Vec<u8> {
    let begin = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.}.}U\x01wctorch._utils\n_rebuild_tensor\n(";
    let count = floats.len() as u8;
    let storage = [
        b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK".as_slice(),
        &[count],
        b"tQ",
    ]
    .concat();
    let end = b"tRs.]U\x010a.";
    let data: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    let count = u64::from(count).to_le_bytes();
    [begin.as_slice(), &storage, offset, shape, strides, end, &count, &data].concat()
}

#[test]
fn a_view_must_be_within_its_storage() {
    let floats = [1.0, 2.0, 3.0, 4.0];
    let read = |offset: &[u8], shape: &[u8], strides: &[u8]| numbers(&legacy(offset, shape, strides, &floats));
    let view = read(b"K\x01", b"K\x02\x85", b"K\x02\x85").unwrap();
    assert_eq!(view[0], Some(vec![2.0, 4.0]));
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let one = [huge.as_slice(), b"\x85"].concat();
    let two = [huge.as_slice(), huge, b"\x86"].concat();
    for (offset, shape, strides, expected) in [
        (
            b"K\x01".as_slice(),
            b"K\x02\x85".as_slice(),
            b"K\x03\x85".as_slice(),
            "reach beyond the 4 elements",
        ),
        (b"K\x04", b")", b")", "reach beyond"),
        (huge, b"K\x01\x85", b"K\x01\x85", "reach beyond"),
        (b"K\0", b"K\x02\x85", &one, "reach beyond"),
        (b"K\0", &one, b"K\0\x85", "repeats the numbers of its storage too often"),
        (b"K\0", &two, b"K\0K\0\x86", "is too large"),
        (b"K\0", b"M\xe8\x03\x85", b"K\0\x85", "too often"),
        (
            b"J\xff\xff\xff\xff",
            b")",
            b")",
            "the offset of a tensor is not a count",
        ),
        (
            b"K\0",
            b"K\x02\x85",
            b"J\xff\xff\xff\xff\x85",
            "strides of a tensor are not a tuple of counts",
        ),
        (b"K\0", b"K\x02\x85", b")", "more dimensions than strides"),
    ] {
        let message = read(offset, shape, strides).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let empty = read(huge, b"K\0K\x05\x86", &two).unwrap();
    assert_eq!(empty[0], Some(vec![]));
}

/// A compressed zip archive with one tensor of zeros.
fn packed_zeros(bytes: usize) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let count = ((bytes / 4) as u32).to_le_bytes();
    let pickle = [
        b"}U\x01wctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuJ".as_slice(),
        &count,
        b"tQK\0J",
        &count,
        b"\x85K\x01\x85tRs.",
    ];
    archive.start_file("a/data.pkl", options).unwrap();
    archive.write_all(&pickle.concat()).unwrap();
    archive.start_file("a/data/0", options).unwrap();
    archive.write_all(&vec![0; bytes]).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_zip_bomb_is_refused() {
    let zeros = numbers(&packed_zeros(1 << 20)).unwrap();
    assert_eq!(zeros[0].as_ref().unwrap().len(), 1 << 18);
    let bomb = packed_zeros(17 << 20);
    assert!(bomb.len() < 100_000);
    assert!(
        refusal(&bomb).contains("unpacks to more than 4 times its size"),
        "{}",
        refusal(&bomb)
    );
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    for name in [
        "plain_legacy.pth",
        "views_legacy.pth",
        "protocol4_legacy.pth",
        "views_zip.pth",
        "deflated.pth",
    ] {
        let mut bytes = file(name);
        for place in 0..bytes.len() {
            let kept = bytes[place];
            for changed in [0, 1, 0x7f, 0xff, kept ^ 1, kept ^ 0x80, kept.wrapping_add(1), b'.'] {
                bytes[place] = changed;
                let _ = is_pytorch(&bytes);
                drop(numbers(&bytes));
            }
            bytes[place] = kept;
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..3_u8) {
        let legacy = file("plain_legacy.pth");
        let begin: &[u8] = match kind {
            0 => &[],
            1 => b"PK\x03\x04",
            _ => &legacy[..137],
        };
        let bytes = [begin, &bytes].concat();
        let _ = is_pytorch(&bytes);
        drop(numbers(&bytes));
    }

    #[test]
    fn no_two_files_joined_make_the_reader_panic(cut in 0..2000_usize, other in 0..2000_usize) {
        let (first, second) = (file("views_legacy.pth"), file("types_legacy.pth"));
        let bytes = [&first[..cut.min(first.len())], &second[other.min(second.len())..]].concat();
        drop(numbers(&bytes));
    }
}
