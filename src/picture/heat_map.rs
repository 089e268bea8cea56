//! A matrix as colours, with labelled axes and a colour bar.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use colorous::VIRIDIS;
use svg::Document;
use svg::node::element::{Group, Image, Rectangle, Text, Title};

use super::raster::{FONT, PictureError, pixels, writable};
use crate::domain::cka_matrix::CkaMatrix;

/// Length of the longer side of the matrix, and the least of the shorter one.
const SIDE: f64 = 560.0;
const LEAST_SIDE: f64 = 120.0;
/// Room for titles and between things.
const TITLE: f64 = 28.0;
const GAP: f64 = 12.0;
const BAR: f64 = 16.0;
/// Steps of the colour bar.
const BAR_STEPS: usize = 128;
const FONT_SIZE: f64 = 12.0;
/// Labels nearer than this would overlap: some are left out.
const LABEL_HEIGHT: f64 = 13.0;
/// Characters of a label; the middle of longer ones is left out.
const LABEL_LENGTH: usize = 26;

/// What stands along one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What all of it is.
    pub title: String,
    /// What each row or column is.
    pub labels: Vec<String>,
}

/// A matrix to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What it shows.
    pub title: String,
    /// What the colours stand for.
    pub unit: String,
    /// From top to bottom.
    pub rows: Axis,
    /// From left to right.
    pub columns: Axis,
    /// The numbers, at most 1.
    pub matrix: CkaMatrix,
}

impl HeatMap {
    /// As SVG. The colours run from 0 to 1, or from the lowest number if that is below 0.
    ///
    /// # Errors
    /// [`PictureError::Size`] if it has no rows or no columns.
    pub fn svg(&self) -> Result<String, PictureError> {
        let (rows, columns) = (self.rows.labels.len() as f64, self.columns.labels.len() as f64);
        let cell = SIDE / rows.max(columns).max(1.0);
        let (width, height) = ((columns * cell).max(LEAST_SIDE), (rows * cell).max(LEAST_SIDE));
        let (left, top) = self.corner();
        // Wide enough for the title too, whose letters are about half as wide as high.
        let title = left + self.title.chars().count() as f64 * FONT_SIZE * 0.65;
        let whole = [(left + width + GAP + BAR + 4.0 * TITLE).max(title), top + height + GAP];
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
            .add(
                self.cells()?
                    .set("x", left)
                    .set("y", top)
                    .set("width", width)
                    .set("height", height),
            )
            .add(self.bar(left + width + GAP, top, height)?);
        Ok(document.to_string())
    }

    /// One pixel a number, enlarged without smoothing: a picture of a thousand layers stays small.
    fn cells(&self) -> Result<Image, PictureError> {
        let lowest = self.lowest();
        let colours: Vec<_> = self
            .matrix
            .rows()
            .flatten()
            .map(|score| colour(*score, lowest))
            .collect();
        enlarged(self.matrix.columns(), &colours)
    }

    /// Where the numbers begin, from the left and from the top.
    fn corner(&self) -> (f64, f64) {
        (
            TITLE + room(&self.rows.labels),
            2.0 * TITLE + room(&self.columns.labels),
        )
    }

    fn lowest(&self) -> f64 {
        let lowest = self.matrix.rows().flatten().copied().fold(0.0, f64::min);
        (lowest * 10.0).floor() / 10.0
    }

    fn bar(&self, left: f64, top: f64, height: f64) -> Result<Group, PictureError> {
        let lowest = self.lowest();
        let at = |share: f64| lowest + (1.0 - lowest) * share;
        let steps = (0..BAR_STEPS).rev().map(|step| step as f64 / (BAR_STEPS - 1) as f64);
        let colours: Vec<_> = steps.map(|share| colour(at(share), lowest)).collect();
        let bar = enlarged(1, &colours)?;
        let mut group = Group::new().add(bar.set("x", left).set("y", top).set("width", BAR).set("height", height));
        for tick in 0..=4 {
            let share = f64::from(tick) / 4.0;
            let y = top + height * (1.0 - share) + FONT_SIZE / 3.0;
            group = group.add(text(&format!("{:.2}", at(share)), left + BAR + GAP / 2.0, y));
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
            group = group.add(text(&shortened(label), right, top + place + FONT_SIZE / 3.0));
        }
        group
    }

    fn column_labels(&self, left: f64, bottom: f64, width: f64) -> Group {
        let mut group = Group::new();
        for (label, place) in spread(&self.columns.labels, width) {
            let turned = format!("translate({} {bottom}) rotate(-90)", left + place + FONT_SIZE / 3.0);
            group = group.add(text(&shortened(label), 0.0, 0.0).set("transform", turned));
        }
        group
    }
}

/// As many labels as there is room for, evenly spaced, each with the middle of its place.
fn spread(labels: &[String], length: f64) -> impl Iterator<Item = (&String, f64)> {
    let step = length / labels.len().max(1) as f64;
    let stride = (LABEL_HEIGHT / step).ceil().max(1.0) as usize;
    let placed = labels.iter().enumerate().step_by(stride);
    placed.map(move |(index, label)| (label, (index as f64 + 0.5) * step))
}

/// What the longest label takes: letters are about half as wide as high.
fn room(labels: &[String]) -> f64 {
    let longest = labels.iter().map(|label| shortened(label).chars().count()).max();
    GAP + longest.unwrap_or_default() as f64 * FONT_SIZE * 0.58
}

fn shortened(label: &str) -> String {
    let characters: Vec<char> = label.chars().collect();
    if characters.len() <= LABEL_LENGTH {
        return label.to_owned();
    }
    let half = LABEL_LENGTH / 2 - 1;
    let (start, end) = (&characters[..half], &characters[characters.len() - half..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

fn colour(score: f64, lowest: f64) -> [u8; 3] {
    let share = (score - lowest) / (1.0 - lowest);
    VIRIDIS.eval_continuous(share.clamp(0.0, 1.0)).as_array()
}

fn enlarged(width: usize, colours: &[[u8; 3]]) -> Result<Image, PictureError> {
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
    use crate::picture::png;

    fn heat_map(scores: Vec<f64>, rows: &[&str], columns: &[&str]) -> HeatMap {
        let axis = |title: &str, labels: &[&str]| Axis {
            title: title.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        HeatMap {
            title: "Layers of a & b".to_owned(),
            unit: "CKA".to_owned(),
            rows: axis("a", rows),
            columns: axis("b <script>", columns),
            matrix: CkaMatrix::new(columns.len(), scores),
        }
    }

    #[test]
    fn each_number_has_the_colour_of_its_place_on_the_bar() {
        let map = heat_map(vec![1.0, 0.0, 0.0, 1.0], &["0 Conv2d", "1 ReLU"], &["x", "y"]);
        let picture = Pixmap::decode_png(&png(&map.svg().unwrap()).unwrap()).unwrap();

        let cell = |x: f64, y: f64| {
            let place = |share: f64, from: f64| (2.0 * (from + share * SIDE)) as u32;
            let (left, top) = map.corner();
            let pixel = picture.pixel(place(x, left), place(y, top)).unwrap();
            [pixel.red(), pixel.green(), pixel.blue()]
        };
        assert_eq!(cell(0.25, 0.25), colour(1.0, 0.0));
        assert_eq!(cell(0.75, 0.25), colour(0.0, 0.0));
        assert_eq!(cell(0.75, 0.75), colour(1.0, 0.0));
    }

    #[test]
    fn the_scale_reaches_below_zero_where_numbers_do() {
        assert_eq!(heat_map(vec![0.5], &["a"], &["b"]).lowest(), 0.0);
        assert_eq!(heat_map(vec![-0.23], &["a"], &["b"]).lowest(), -0.3);
    }

    #[test]
    fn names_stand_in_the_drawing_as_text_and_never_as_marks() {
        let svg = heat_map(vec![0.5], &["<b>"], &["&amp;"]).svg().unwrap();

        assert!(svg.contains("&lt;b&gt;") && svg.contains("&amp;amp;") && svg.contains("b &lt;script&gt;"));
        assert!(!svg.contains("<script>"));
    }

    #[test]
    fn characters_that_no_drawing_can_hold_do_no_harm() {
        let map = heat_map(vec![0.5], &["a\u{1}b"], &["\u{ffff}"]);

        assert!(map.svg().unwrap().contains("a\u{fffd}b"));
        assert!(png(&map.svg().unwrap()).is_ok());
    }

    #[test]
    fn of_many_labels_as_many_are_shown_as_there_is_room_for() {
        let many: Vec<_> = (0..500).map(|index| index.to_string()).collect();
        let shown: Vec<_> = spread(&many, SIDE).collect();

        assert!(shown.len() > 30);
        assert!(shown.windows(2).all(|pair| pair[1].1 - pair[0].1 >= LABEL_HEIGHT));
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        let name = shortened("features.denseblock4.denselayer16.conv2");

        assert_eq!(name.chars().count(), LABEL_LENGTH - 1);
        assert!(name.starts_with("features.de") && name.ends_with("r16.conv2"));
    }

    #[test]
    fn a_matrix_without_numbers_has_no_picture() {
        assert!(matches!(
            heat_map(vec![], &[], &[]).svg(),
            Err(PictureError::Size(0, 0))
        ));
    }
}
