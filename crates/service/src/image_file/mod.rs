//! Uploaded image files: decoded within limits, and converted to planes.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, Rgba, RgbaImage};

use super::ServiceError;
use jpeg::JpegFault;
use scv_domain::image::{ImageShape, Images, lightness};
use scv_domain::upload::PreprocessingStep;

mod jpeg;
mod png;
#[cfg(test)]
mod tests;

/// Bytes of an uploaded file.
const MAX_IMAGE_BYTES: usize = 20 << 20;

/// Rows or columns of an uploaded image.
const MAX_SIDE_PIXELS: u32 = 4_096;

/// Bytes that an image may take while it is decoded: a small file can declare very many pixels.
const MAX_UNPACKED_BYTES: u64 = 160 << 20;

/// Bytes that a pixel takes besides those that it is decoded to: in colours, and in three planes.
const CONVERTED_BYTES: u64 = 4 + 3;

/// The colour components of a JPEG file in printing colours.
const CMYK_COMPONENTS: usize = 4;

/// The boundary between dark and light, of 0 to 255.
pub(super) const MIDDLE: f64 = 127.5;

/// A transparent image counts as a light drawing if so large a share of its visible area is light. A dark stroke on light
/// paper, with transparency around the paper, has less.
const LIGHT_SHARE: f64 = 0.98;

/// The memory that a file takes while it is decoded and converted to planes, in bytes. What cannot be read, or is too large, is not
/// unpacked.
pub(super) fn unpacked_bytes(file: &[u8]) -> u64 {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok();
    let Some(decoder) = reader.and_then(|reader| reader.into_decoder().ok()) else {
        return 0;
    };
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE_PIXELS {
        return 0;
    }
    decoder.total_bytes() + u64::from(width) * u64::from(height) * CONVERTED_BYTES
}

/// Decodes a PNG or JPEG file within limits, and rotates it according to its EXIF orientation. A file that does not contain its whole
/// image is refused; what follows the image in the file is ignored.
pub(super) fn decode(file: &[u8]) -> Result<(DynamicImage, Vec<PreprocessingStep>), ServiceError> {
    if file.len() > MAX_IMAGE_BYTES {
        return Err(ServiceError::bad_input(format!(
            "`image` has {} bytes; the limit is {MAX_IMAGE_BYTES}: upload a smaller one",
            file.len()
        )));
    }
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| refusal(&error.into()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PIXELS);
    limits.max_image_height = Some(MAX_SIDE_PIXELS);
    limits.max_alloc = Some(MAX_UNPACKED_BYTES);
    reader.limits(limits.clone());
    let format = reader.format();
    if format == Some(ImageFormat::Png) && !png::is_whole(file) {
        return Err(cut_off("PNG"));
    }
    if !matches!(format, Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(ServiceError::bad_input(
            "`image` is neither PNG nor JPEG: upload a PNG or JPEG file",
        ));
    }
    let mut decoder = reader.into_decoder().map_err(|error| refusal(&error))?;
    limits.reserve(decoder.total_bytes()).map_err(|error| refusal(&error))?;
    let mut steps = Vec::new();
    if format == Some(ImageFormat::Jpeg) && check_jpeg(file)? == Some(CMYK_COMPONENTS) {
        steps.push(PreprocessingStep::ConvertedFromCmyk);
    }
    let orientation = decoder.orientation().map_err(|error| refusal(&error))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| refusal(&error))?;
    if image.color().bytes_per_pixel() / image.color().channel_count() > 1 {
        steps.push(PreprocessingStep::ReducedTo8Bits);
    }
    if orientation != Orientation::NoTransforms {
        image.apply_orientation(orientation);
        steps.push(PreprocessingStep::Rotated);
    }
    Ok((image, steps))
}

/// The number of colour components of a JPEG file, if it contains its whole image.
fn check_jpeg(file: &[u8]) -> Result<Option<usize>, ServiceError> {
    jpeg::components_of_whole(file).map_err(|fault| match fault {
        JpegFault::CutOff => cut_off("JPEG"),
        JpegFault::Damaged => damaged(),
    })
}

fn cut_off(format: &str) -> ServiceError {
    ServiceError::bad_input(format!(
        "`image` is a {format} file that is cut off: upload the whole file"
    ))
}

fn damaged() -> ServiceError {
    ServiceError::bad_input("`image` is damaged: upload the whole PNG or JPEG file")
}

/// The decoder's own message about damaged bytes goes on for lines.
fn refusal(error: &ImageError) -> ServiceError {
    match error {
        ImageError::Limits(_) => ServiceError::bad_input(format!(
            "`image` has more than {MAX_SIDE_PIXELS} pixels per side or decodes to more than {MAX_UNPACKED_BYTES} bytes: \
             upload a smaller one"
        )),
        ImageError::Unsupported(_) => ServiceError::bad_input(
            "`image` is a JPEG or PNG file of a rare kind that SCV does not read, such as lossless JPEG: save it as PNG, or as an \
             ordinary JPEG file",
        ),
        _ => damaged(),
    }
}

/// Whether the visible area of a transparent image is light, so that the drawing would be lost on white.
fn is_light_drawing(colours: &RgbaImage) -> bool {
    let (mut light, mut all) = (0, 0);
    for Rgba([red, green, blue, opacity]) in colours.pixels() {
        let is_light = f64::from(lightness([*red, *green, *blue].map(f32::from))) > MIDDLE;
        light += u64::from(*opacity) * u64::from(is_light);
        all += u64::from(*opacity);
    }
    light as f64 > LIGHT_SHARE * all as f64
}

/// An image as `channels` planes. Transparent areas become white or black.
pub(super) fn to_planes(image: &DynamicImage, channels: usize, steps: &mut Vec<PreprocessingStep>) -> Images {
    let colours = image.to_rgba8();
    let mut fill = 255;
    if colours.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
        let on_black = is_light_drawing(&colours);
        fill = if on_black { 0 } else { 255 };
        steps.push(PreprocessingStep::Flattened { on_black });
    }
    let on_fill = |pixel: &Rgba<u8>, channel: usize| {
        let [value, opacity] = [pixel.0[channel], pixel.0[3]].map(u32::from);
        ((value * opacity + fill * (255 - opacity) + 127) / 255) as u8
    };
    let grey = |pixel: &Rgba<u8>| lightness([0, 1, 2].map(|channel| f32::from(on_fill(pixel, channel)))).round() as u8;
    let mut planes = Vec::with_capacity(channels * colours.width() as usize * colours.height() as usize);
    match channels {
        1 => planes.extend(colours.pixels().map(grey)),
        _ => (0..3).for_each(|channel| planes.extend(colours.pixels().map(|pixel| on_fill(pixel, channel)))),
    }
    match (image.color().has_color(), channels) {
        (true, 1) => steps.push(PreprocessingStep::ConvertedToGrey),
        (false, 3) => steps.push(PreprocessingStep::ConvertedToColour),
        _ => {}
    }
    Images {
        shape: ImageShape {
            channels,
            height: colours.height() as usize,
            width: colours.width() as usize,
        },
        pixels: planes.into(),
    }
}
