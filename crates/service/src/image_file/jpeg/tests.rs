#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use super::*;

/// Files of every kind that is checked, with their colour components.
const FILES: [(&str, usize); 7] = [
    ("baseline", 3),
    ("subsampled_restarts", 3),
    ("progressive", 3),
    ("progressive_restarts", 3),
    ("grey", 1),
    ("cmyk", 4),
    ("turned", 1),
];

fn file(name: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/images");
    fs::read(format!("{directory}/{name}.jpg")).unwrap()
}

#[test]
fn a_whole_image_is_accepted_whatever_follows_it() {
    for (name, components) in FILES {
        let whole = file(name);
        let photo_with_film = [
            &whole,
            b"\0\0\0\x18ftypmp42 \xff\xda and more".as_slice(),
            &whole[200..],
        ]
        .concat();
        for bytes in [whole, photo_with_film] {
            assert_eq!(components_of_whole(&bytes), Ok(Some(components)), "{name}");
        }
    }
}

#[test]
fn an_image_that_is_cut_off_anywhere_is_refused_whatever_stands_behind_the_cut() {
    for (name, _) in FILES {
        let whole = file(name);
        let end = whole.len() - 2;
        let ends: [&[u8]; 3] = [b"", b"\xff\xd9", b"\0\0\0\x18ftypmp42 \xff\xda\0\x08 film \xff\xd9"];
        for cut in (2..end).step_by(3) {
            for (kind, end) in ends.into_iter().enumerate() {
                let outcome = components_of_whole(&[&whole[..cut], end].concat());
                assert!(outcome.is_err(), "{name} cut at {cut} with end {kind}: {outcome:?}");
            }
        }
        assert_eq!(components_of_whole(&whole[..end]), Err(JpegFault::CutOff), "{name}");
    }
}

#[test]
fn a_progressive_image_without_its_last_scan_is_refused() {
    let whole = file("progressive");
    let last_scan = whole.windows(2).rposition(|pair| pair == [0xff, 0xc4]).unwrap();
    let bytes = [&whole[..last_scan], &[0xff, END_OF_IMAGE]].concat();
    assert_eq!(components_of_whole(&bytes), Err(JpegFault::CutOff));
}

#[test]
fn missing_restart_intervals_are_noticed() {
    let whole = file("subsampled_restarts");
    let at = |marker: u8| whole.windows(2).rposition(|pair| pair == [0xff, marker]).unwrap();
    let bytes = [&whole[..at(0xd0)], &whole[at(0xd1)..]].concat();
    assert_eq!(components_of_whole(&bytes), Err(JpegFault::CutOff));
}

#[test]
fn damaged_bytes_end_in_an_answer() {
    for (name, _) in FILES {
        let whole = file(name);
        for at in (0..whole.len()).step_by(5) {
            for value in [0x11, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = components_of_whole(&bytes);
            }
        }
    }
}
