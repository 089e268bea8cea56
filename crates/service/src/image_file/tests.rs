#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use super::*;

fn file(name: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/images");
    fs::read(format!("{directory}/{name}")).unwrap()
}

/// The grey pixels of a file, and what was done to it.
fn grey(name: &str) -> (Vec<u8>, Vec<String>) {
    let (image, mut steps) = decode(&file(name)).unwrap();
    let images = to_planes(&image, 1, &mut steps);
    (images.pixels.to_vec(), steps.iter().map(ToString::to_string).collect())
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

#[test]
fn a_drawing_is_the_same_in_every_kind_of_png() {
    let (drawing, steps) = grey("one_bit.png");
    assert_eq!(steps, [""; 0]);
    let on_white = "filled with white where it was transparent";
    for (name, is_inverted, steps) in [
        (
            "sixteen_bits.png",
            false,
            ["reduced from 16 to 8 bits per channel"].as_slice(),
        ),
        ("grey_alpha.png", true, &[on_white]),
        ("grey_transparent.png", true, &[on_white]),
        ("transparent_palette.png", true, &[on_white, "converted to greyscale"]),
    ] {
        let (pixels, done) = grey(name);
        let expected: Vec<u8> = if is_inverted {
            drawing.iter().map(|pixel| 255 - pixel).collect()
        } else {
            drawing.clone()
        };
        assert_eq!(pixels, expected, "{name}");
        assert_eq!(done, steps, "{name}");
    }
}

#[test]
fn a_turned_photo_is_turned_back() {
    let (drawing, _) = grey("one_bit.png");
    let (pixels, steps) = grey("turned.jpg");
    assert_eq!(steps, ["rotated according to its EXIF orientation"]);
    let distance = |pixels: &[u8]| -> u32 {
        let pairs = pixels.iter().zip(&drawing);
        pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>() / pixels.len() as u32
    };
    assert!(distance(&pixels) < 20, "{}", distance(&pixels));
}

#[test]
fn printing_colours_become_those_of_a_screen() {
    let (image, _) = decode(&file("baseline.jpg")).unwrap();
    let (printed, steps) = decode(&file("cmyk.jpg")).unwrap();
    assert_eq!(steps, [PreprocessingStep::ConvertedFromCmyk]);
    let pairs = image.to_rgb8().into_raw().into_iter().zip(printed.to_rgb8().into_raw());
    let distances: Vec<u32> = pairs.map(|(a, b)| u32::from(a.abs_diff(b))).collect();
    let mean = distances.iter().sum::<u32>() / distances.len() as u32;
    assert!(mean < 12, "{mean}");
}

#[test]
fn a_png_that_is_cut_off_anywhere_is_refused_and_what_follows_it_is_ignored() {
    for name in ["transparent_palette.png", "sixteen_bits.png"] {
        let whole = file(name);
        let end = &whole[whole.len() - 12..];
        for cut in 8..whole.len() {
            let message = refused(&whole[..cut]);
            assert!(
                message.contains("PNG file that is cut off"),
                "{name} at {cut}: {message}"
            );
            if cut < whole.len() - 12 {
                let message = refused(&[&whole[..cut], end].concat());
                assert!(
                    message.contains("is cut off") || message.contains("is damaged"),
                    "{name} at {cut}: {message}"
                );
            }
        }
        let mut more = whole.clone();
        more.extend(b"IDAT and more");
        assert_eq!(decode(&more).unwrap().0, decode(&whole).unwrap().0);
    }
}

#[test]
fn a_jpeg_that_is_cut_off_is_refused_although_an_end_follows() {
    let whole = file("baseline.jpg");
    let cut = [&whole[..whole.len() * 3 / 4], b"\xff\xd9"].concat();
    assert_eq!(
        refused(&cut),
        "`image` is a JPEG file that is cut off: upload the whole file"
    );
    let more = [&whole, b"a film \xff\xda".as_slice()].concat();
    assert_eq!(decode(&more).unwrap().0, decode(&whole).unwrap().0);
}
