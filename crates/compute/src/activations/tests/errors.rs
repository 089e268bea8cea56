//! Everything that is wrong with a file, in one list.

use super::*;

fn errors(bytes: &[u8]) -> Vec<ActivationError> {
    check(bytes, limits(GOLDEN_PROBES)).unwrap_err()
}

fn sound() -> Vec<u8> {
    npy("(4, 2)", &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]))
}

#[test]
fn every_error_of_an_archive_is_listed() {
    insta::assert_json_snapshot!(errors(&golden("invalid.npz")));
}

#[test]
fn every_error_of_a_safetensors_file_is_listed() {
    insta::assert_json_snapshot!(errors(&golden("invalid.safetensors")));
}

#[test]
fn a_file_of_another_kind_is_refused_with_what_to_upload() {
    let empty_archive = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let empty_tensors = [&2_u64.to_le_bytes(), b"{}".as_slice()].concat();
    let archive = npz(CompressionMethod::Stored, &[("a", sound())]);
    for (bytes, rule, hint) in [
        (vec![], ActivationRule::Readable, "the file is empty"),
        (b"{\"a\": 1}".to_vec(), ActivationRule::Readable, "claims a header of"),
        (sound(), ActivationRule::Readable, "a single .npy file"),
        (
            archive[..60].to_vec(),
            ActivationRule::Readable,
            "the zip archive is damaged",
        ),
        (empty_archive, ActivationRule::NotEmpty, "save one for each layer"),
        (empty_tensors, ActivationRule::NotEmpty, "save one for each layer"),
    ] {
        let found = errors(&bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].array.as_deref(), found[0].rule), (None, rule));
        assert!(
            found[0].message.contains(hint),
            "{} does not say {hint:?}",
            found[0].message
        );
    }
}

#[test]
fn another_number_of_probe_images_is_reported_with_what_to_do() {
    let file = npz(CompressionMethod::Stored, &[("conv1", sound())]);
    let found = check(&file, limits(100)).unwrap_err();
    assert_eq!(
        found[0].message,
        "Array conv1 has shape [4, 2], but its first dimension must be the 100 probe images; \
         run all of them in order and join the batches."
    );
    assert_eq!(
        (found[0].expected.as_str(), found[0].actual.as_str()),
        ("[100, ...]", "[4, 2]")
    );
}

#[test]
fn weights_given_as_activations_are_reported_as_weights() {
    let tensor = |name: &str, shape: &[usize]| {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        (name.to_owned(), shape.to_vec(), bytes)
    };
    let weights = [
        tensor("conv1.weight", &[4, 1, 3, 3]),
        tensor("conv1.bias", &[4]),
        tensor("head.weight", &[10, 4]),
        tensor("head.scale", &[10]),
    ];
    let found = errors(&safetensors(&weights));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].array.as_deref(), found[0].rule),
        (None, ActivationRule::Probes)
    );
    assert_eq!(
        found[0].message,
        "These look like weights, not activations; upload them as `weights`, together with the network's `blocks`. A file of activations has one array per layer, whose first dimension \
         is the 4 probe images."
    );

    // Activations may be named after the weights of their layers.
    let activations = [tensor("conv1.weight", &[4, 8]), tensor("head.weight", &[4, 10])];
    assert_eq!(check(&safetensors(&activations), limits(4)).unwrap().len(), 2);
    // A single array of another shape among layers with other names is reported by itself.
    let layers = [
        tensor("conv1", &[4, 8]),
        tensor("relu", &[4, 8]),
        tensor("head.weight", &[5, 10]),
    ];
    assert_eq!(errors(&safetensors(&layers))[0].array.as_deref(), Some("head.weight"));
}

#[test]
fn more_layers_than_a_version_may_have_are_refused() {
    let names: Vec<String> = (0..MAX_LAYERS + 1).map(|index| format!("layer{index}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), sound())).collect();
    let most = npz(CompressionMethod::Stored, &entries[1..]);
    assert_eq!(check(&most, limits(4)).unwrap().len(), MAX_LAYERS);

    let tensors: Vec<_> = names.iter().map(|name| (name.clone(), vec![4], vec![0; 16])).collect();
    for file in [npz(CompressionMethod::Stored, &entries), safetensors(&tensors)] {
        let found = errors(&file);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rule, ActivationRule::Limit);
        assert_eq!(
            found[0].message,
            "The file holds 2001 arrays; the limit is 2000. Save fewer layers."
        );
    }
}

#[test]
fn damage_to_the_numbers_is_found_in_every_array() {
    let entries = [("a", sound()), ("b", sound()), ("c", sound())];
    let mut file = npz(CompressionMethod::Stored, &entries);
    let places: Vec<usize> = (0..file.len())
        .filter(|&at| file[at..].starts_with(&7.0_f32.to_le_bytes()))
        .collect();
    assert_eq!(places.len(), 3);
    file[places[0]] ^= 1;
    file[places[2]] ^= 1;

    let open = ActivationFile::open(&file, limits(4)).unwrap();
    let found = open.verify().unwrap_err();
    let arrays: Vec<_> = found.iter().map(|error| error.array.as_deref().unwrap()).collect();
    assert_eq!(arrays, ["a", "c"]);
    assert!(found[0].message.contains("Invalid checksum"), "{}", found[0].message);

    let read: Vec<bool> = open.layers().map(|(_, numbers)| numbers.is_ok()).collect();
    assert_eq!(read, [false, true, false]);
}

#[test]
fn the_documentation_quotes_the_example() {
    let documentation = include_str!("../../../../../docs/activations.md");
    let example = include_str!("../../../../../examples/export_activations.py");
    assert!(documentation.contains(example));
}

#[test]
fn a_long_list_of_errors_becomes_a_short_message() {
    let error = crate::error::ComputeError::Activations(errors(&golden("invalid.npz")));
    let message = error.to_string();
    assert!(
        message.starts_with("the activations cannot be used: Array twice occurs more than once"),
        "{message}"
    );
    assert!(message.contains("Array five_images has shape [5, 3]"), "{message}");
    assert!(message.ends_with("And 19 more."), "{message}");
}
