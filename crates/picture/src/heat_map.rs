//! Heat maps: a matrix as colours, with labelled axes and a colour bar.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use svg::Document;
use svg::node::element::{Group, Image, Rectangle, Text, Title};

use super::label::{self, FONT, shorten, writable};
use super::raster::{PictureError, pixels};
use super::scale::Scale;
use scv_domain::cka_matrix::CkaMatrix;
use scv_domain::image::lightness;

/// Length of the longer side of the matrix, and the minimum length of the shorter one.
const SIDE: f64 = 560.0;
const MIN_SIDE: f64 = 120.0;
/// Height of titles, distance between elements, and width of the colour bar.
const TITLE: f64 = 28.0;
const GAP: f64 = 12.0;
const BAR: f64 = 16.0;
/// Number of steps of the colour bar.
const BAR_STEPS: usize = 128;
const FONT_SIZE: f64 = 12.0;
/// Minimum distance between labels. Where they would be closer, some are left out.
const LABEL_HEIGHT: f64 = 13.0;
/// Maximum number of characters of a label. The middle of longer ones is left out.
const MAX_LABEL_LENGTH: usize = 26;
/// Maximum number of characters of labels that are not rotated above their columns.
const MAX_UPRIGHT_LENGTH: usize = 2;
/// Font size of the numbers in cells.
const NUMBER_SIZE: f64 = 10.0;
/// Maximum number of cells that are drawn as rectangles. More cells are drawn as one image.
const MAX_RECTANGLES: usize = 1_024;
/// Cells with shorter sides get no frame.
const MIN_FRAMED_SIDE: f64 = 5.0;

/// One axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Title of the axis.
    pub title: String,
    /// Label of each row or column.
    pub labels: Vec<String>,
}

/// A matrix to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Title of the chart.
    pub title: String,
    /// The quantity that the colours show.
    pub unit: String,
    /// From top to bottom.
    pub rows: Axis,
    /// From left to right.
    pub columns: Axis,
    /// The values, at most 1.
    pub matrix: CkaMatrix,
    /// The colour scale of the values.
    pub scale: Scale,
    /// The numbers that are written into the cells if they fit.
    pub numbers: Numbers,
    /// The cells that get a frame if they are large enough.
    pub frames: Option<Frames>,
}

/// Numbers in cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// The values of the matrix.
    Scores,
    /// Numbers of images in row-major order. Zeros are not written.
    Counts(Vec<u64>),
}

/// Highlighted cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames {
    /// Row and column of each.
    pub cells: Vec<(usize, usize)>,
    /// What the frame means.
    pub meaning: String,
}

impl HeatMap {
    /// Draws the map as SVG.
    ///
    /// # Errors
    /// [`PictureError::Size`] if it has no rows or no columns.
    pub fn svg(&self) -> Result<String, PictureError> {
        let (rows, columns) = (self.rows.labels.len() as f64, self.columns.labels.len() as f64);
        let cell = SIDE / rows.max(columns).max(1.0);
        let (width, height) = ((columns * cell).max(MIN_SIDE), (rows * cell).max(MIN_SIDE));
        let (left, top) = self.corner();
        // The picture must be wide enough for the title, too.
        let title = left + label::width(&self.title, FONT_SIZE * 1.3);
        let cell = [width / columns, height / rows];
        let numbers = self.numbers_within(cell);
        let frames = self.frames.as_ref().filter(|_| cell[0].min(cell[1]) >= MIN_FRAMED_SIDE);
        let note_text = self.note(!numbers.is_empty(), frames);
        let note = if note_text.is_empty() { 0.0 } else { TITLE };
        let whole = [
            (left + width + GAP + BAR + 4.0 * TITLE).max(title),
            top + height + GAP + note,
        ];
        let document = Document::new()
            .set("width", whole[0])
            .set("height", whole[1])
            .set("viewBox", (0, 0, whole[0], whole[1]))
            .set("font-family", FONT)
            .set("font-size", FONT_SIZE)
            .set("fill", "#222")
            .add(Title::new(writable(&self.title)))
            .add(
                Rectangle::new()
                    .set("width", "100%")
                    .set("height", "100%")
                    .set("fill", "#fff"),
            )
            .add(text(&self.title, left, TITLE * 0.8).set("font-size", FONT_SIZE * 1.3))
            .add(centred(&self.columns.title, left + width / 2.0, 1.6 * TITLE))
            .add(centred(&self.rows.title, 0.0, 0.0).set(
                "transform",
                format!("translate({} {}) rotate(-90)", TITLE * 0.6, top + height / 2.0),
            ))
            .add(self.row_labels(left - GAP / 2.0, top, height))
            .add(self.column_labels(left, top - GAP / 2.0, width))
            .add(self.cells([left, top], [width, height])?)
            .add(self.over_cells([left, top], cell, &numbers, frames))
            .add(text(&note_text, left, top + height + 0.7 * TITLE))
            .add(self.bar(left + width + GAP, top, height)?);
        Ok(document.to_string())
    }

    /// One rectangle per value. Many values are drawn as an image with one pixel per value, enlarged without smoothing, so that
    /// a map of a thousand layers stays small.
    fn cells(&self, [left, top]: [f64; 2], [width, height]: [f64; 2]) -> Result<Group, PictureError> {
        let scores = self.matrix.rows().flatten();
        let colours: Vec<_> = scores.map(|score| self.scale.colour(*score)).collect();
        let columns = self.matrix.columns();
        if colours.is_empty() || colours.len() > MAX_RECTANGLES {
            let image = pixel_image(columns, &colours)?;
            let image = image.set("x", left).set("y", top);
            return Ok(Group::new().add(image.set("width", width).set("height", height)));
        }
        let rows = colours.len() / columns;
        let (width, height) = (width / columns as f64, height / rows as f64);
        let mut group = Group::new().set("shape-rendering", "crispEdges");
        for (index, [red, green, blue]) in colours.into_iter().enumerate() {
            let cell = Rectangle::new()
                .set("x", left + (index % columns) as f64 * width)
                .set("y", top + (index / columns) as f64 * height)
                .set("width", width)
                .set("height", height);
            group = group.add(cell.set("fill", format!("#{red:02x}{green:02x}{blue:02x}")));
        }
        Ok(group)
    }

    /// The numbers in the cells in row-major order. Empty if a cell is too small for its number.
    fn numbers_within(&self, [width, height]: [f64; 2]) -> Vec<String> {
        let fits = |number: &str| label::width(number, NUMBER_SIZE) <= width - 2.0 && NUMBER_SIZE <= height - 2.0;
        // Checked before a million numbers are formatted.
        if !fits("0") {
            return Vec::new();
        }
        let numbers: Vec<String> = match &self.numbers {
            Numbers::Scores => self
                .matrix
                .rows()
                .flatten()
                .map(|score| format!("{score:.2}"))
                .collect(),
            Numbers::Counts(counts) => {
                let written = |count: &u64| if *count == 0 { String::new() } else { count.to_string() };
                counts.iter().map(written).collect()
            }
        };
        if numbers.iter().all(|number| fits(number)) {
            numbers
        } else {
            Vec::new()
        }
    }

    /// The note below the map.
    fn note(&self, has_numbers: bool, frames: Option<&Frames>) -> String {
        let counts = (has_numbers && matches!(self.numbers, Numbers::Counts(_))).then(|| "numbers: images".to_owned());
        let white = matches!(self.scale, Scale::Logarithmic { .. }).then(|| "white: no images".to_owned());
        let framed = frames.map(|frames| format!("framed: {}", frames.meaning));
        [counts, white, framed]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Numbers and frames, dark or light depending on the colour of the cell.
    fn over_cells(
        &self,
        [left, top]: [f64; 2],
        [width, height]: [f64; 2],
        numbers: &[String],
        frames: Option<&Frames>,
    ) -> Group {
        let mut group = Group::new();
        let ink = |row: usize, column: usize| {
            let score = self.matrix.rows().nth(row).map_or(0.0, |scores| scores[column]);
            if lightness(self.scale.colour(score).map(f32::from)) > 127.5 {
                "#222"
            } else {
                "#fff"
            }
        };
        for (index, number) in numbers.iter().enumerate().filter(|(_, number)| !number.is_empty()) {
            let (row, column) = (index / self.matrix.columns(), index % self.matrix.columns());
            let (x, y) = (left + (column as f64 + 0.5) * width, top + (row as f64 + 0.5) * height);
            let number = centred(number, x, y + NUMBER_SIZE / 3.0).set("font-size", NUMBER_SIZE);
            group = group.add(number.set("fill", ink(row, column)));
        }
        for &(row, column) in frames.iter().flat_map(|frames| &frames.cells) {
            let frame = Rectangle::new()
                .set("x", left + column as f64 * width + 1.0)
                .set("y", top + row as f64 * height + 1.0)
                .set("width", width - 2.0)
                .set("height", height - 2.0);
            group = group.add(frame.set("fill", "none").set("stroke", ink(row, column)));
        }
        group
    }

    /// The top left corner of the cells.
    fn corner(&self) -> (f64, f64) {
        (
            TITLE + label_room(&self.rows.labels),
            2.0 * TITLE + label_room(&self.columns.labels),
        )
    }

    fn bar(&self, left: f64, top: f64, height: f64) -> Result<Group, PictureError> {
        let steps = (0..BAR_STEPS).rev().map(|step| step as f64 / (BAR_STEPS - 1) as f64);
        let colours: Vec<_> = steps.map(|place| self.scale.colour_at(place)).collect();
        let bar = pixel_image(1, &colours)?;
        let mut group = Group::new().add(bar.set("x", left).set("y", top).set("width", BAR).set("height", height));
        for (place, tick) in self.scale.ticks() {
            let y = top + height * (1.0 - place) + FONT_SIZE / 3.0;
            group = group.add(text(&tick, left + BAR + GAP / 2.0, y));
        }
        let place = format!(
            "translate({} {}) rotate(-90)",
            left + BAR + 2.2 * TITLE,
            top + height / 2.0
        );
        Ok(group.add(centred(&self.unit, 0.0, 0.0).set("transform", place)))
    }

    fn row_labels(&self, right: f64, top: f64, height: f64) -> Group {
        let mut group = Group::new().set("text-anchor", "end");
        for (label, place) in spread(&self.rows.labels, height) {
            group = group.add(text(
                &shorten(label, MAX_LABEL_LENGTH),
                right,
                top + place + FONT_SIZE / 3.0,
            ));
        }
        group
    }

    fn column_labels(&self, left: f64, bottom: f64, width: f64) -> Group {
        let mut group = Group::new();
        // Rotated digits are hard to read.
        let are_short = self
            .columns
            .labels
            .iter()
            .all(|label| label.chars().count() <= MAX_UPRIGHT_LENGTH);
        for (label, place) in spread(&self.columns.labels, width) {
            let label = shorten(label, MAX_LABEL_LENGTH);
            group = group.add(if are_short {
                centred(&label, left + place, bottom)
            } else {
                let rotation = format!("translate({} {bottom}) rotate(-90)", left + place + FONT_SIZE / 3.0);
                text(&label, 0.0, 0.0).set("transform", rotation)
            });
        }
        group
    }
}

/// The labels that fit, evenly spaced, each with the centre of its row or column.
fn spread(labels: &[String], length: f64) -> impl Iterator<Item = (&String, f64)> {
    let step = length / labels.len().max(1) as f64;
    let stride = (LABEL_HEIGHT / step).ceil().max(1.0) as usize;
    let placed = labels.iter().enumerate().step_by(stride);
    placed.map(move |(index, label)| (label, (index as f64 + 0.5) * step))
}

/// The width of the longest label.
fn label_room(labels: &[String]) -> f64 {
    let widths = labels
        .iter()
        .map(|label| label::width(&shorten(label, MAX_LABEL_LENGTH), FONT_SIZE));
    GAP + widths.fold(0.0, f64::max)
}

/// An image that is scaled without smoothing.
fn pixel_image(width: usize, colours: &[[u8; 3]]) -> Result<Image, PictureError> {
    let encoded = STANDARD.encode(pixels(width, colours)?);
    Ok(Image::new()
        .set("href", format!("data:image/png;base64,{encoded}"))
        .set("preserveAspectRatio", "none")
        .set("image-rendering", "optimizeSpeed")
        .set("style", "image-rendering: pixelated"))
}

fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(writable(content)).set("x", x).set("y", y)
}

fn centred(content: &str, x: f64, y: f64) -> Text {
    text(content, x, y).set("text-anchor", "middle")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use resvg::tiny_skia::Pixmap;

    use super::*;
    use crate::png;

    fn heat_map(scores: Vec<f64>, rows: &[&str], columns: &[&str]) -> HeatMap {
        let axis = |title: &str, labels: &[&str]| Axis {
            title: title.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let matrix = CkaMatrix::new(columns.len(), scores);
        HeatMap {
            title: "Layers of a & b".to_owned(),
            unit: "CKA".to_owned(),
            rows: axis("a", rows),
            columns: axis("b <script>", columns),
            scale: Scale::linear(&matrix),
            numbers: Numbers::Scores,
            frames: Some(Frames {
                cells: vec![(0, 0)],
                meaning: "the first".to_owned(),
            }),
            matrix,
        }
    }

    #[test]
    fn each_value_has_its_colour_on_the_scale() {
        let map = heat_map(vec![1.0, 0.0, 0.0, 1.0], &["0 Conv2d", "1 ReLU"], &["x", "y"]);
        let picture = Pixmap::decode_png(&png(&map.svg().unwrap()).unwrap()).unwrap();

        let colour = |score| map.scale.colour(score);
        // Next to the number in the middle of the cell.
        let cell = |x: f64, y: f64| {
            let place = |share: f64, from: f64| (2.0 * (from + share * SIDE)) as u32;
            let (left, top) = map.corner();
            let pixel = picture.pixel(place(x, left), place(y, top)).unwrap();
            [pixel.red(), pixel.green(), pixel.blue()]
        };
        assert_eq!(cell(0.1, 0.1), colour(1.0));
        assert_eq!(cell(0.6, 0.1), colour(0.0));
        assert_eq!(cell(0.6, 0.6), colour(1.0));
    }

    #[test]
    fn numbers_and_frames_are_drawn_where_cells_are_large_enough() {
        let svg = heat_map(vec![0.25, 0.5], &["a"], &["x", "y"]).svg().unwrap();
        assert!(svg.contains("0.25") && svg.contains("stroke") && svg.contains("framed: the first"));

        let many: Vec<String> = (0..120).map(|index| index.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let svg = heat_map(vec![0.33; 120 * 120], &many, &many).svg().unwrap();
        assert!(!svg.contains("0.33") && !svg.contains("stroke") && !svg.contains("framed"));
    }

    #[test]
    fn names_are_drawn_as_text_and_never_as_markup() {
        let svg = heat_map(vec![0.5], &["<b>"], &["&amp;"]).svg().unwrap();

        assert!(svg.contains("&lt;b&gt;") && svg.contains("&amp;amp;") && svg.contains("b &lt;script&gt;"));
        assert!(!svg.contains("<script>"));
    }

    #[test]
    fn characters_that_xml_does_not_allow_are_replaced() {
        let map = heat_map(vec![0.5], &["a\u{1}b"], &["\u{ffff}"]);

        assert!(map.svg().unwrap().contains("a\u{fffd}b"));
        assert!(png(&map.svg().unwrap()).is_ok());
    }

    #[test]
    fn as_many_labels_are_shown_as_fit() {
        let many: Vec<_> = (0..500).map(|index| index.to_string()).collect();
        let shown: Vec<_> = spread(&many, SIDE).collect();

        assert!(shown.len() > 30);
        assert!(shown.windows(2).all(|pair| pair[1].1 - pair[0].1 >= LABEL_HEIGHT));
    }

    #[test]
    fn an_empty_matrix_cannot_be_drawn() {
        assert!(matches!(
            heat_map(vec![], &[], &[]).svg(),
            Err(PictureError::Size(0, 0))
        ));
    }
}
