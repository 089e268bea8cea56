//! Curves and bars with labelled axes and a key, drawn by plotters. The colours are those of Okabe and Ito, which people with
//! any kind of colour vision tell apart.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::label::{self, FONT, shortened, writable};
use super::raster::PictureError;
use scv_domain::evaluation::{CalibrationBin, ClassReport, class_name, expected_calibration_error, loss_in_words};
use scv_domain::training::EpochReport;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const GREY: RGBColor = RGBColor(150, 150, 150);
const INK: RGBColor = RGBColor(34, 34, 34);

const WIDTH: u32 = 560;
/// Height of the title with what stands below it.
const HEAD: u32 = 84;
/// Height of curves, and of bars of bins.
const CHART: u32 = 396;
/// Height of the bars that count the images of bins.
const COUNTS: u32 = 130;
/// What is left of a bin's bar on both sides of the gap to the confidence.
const GAP_MARGIN: u32 = 9;
/// Height of what belongs to one class.
const CLASS_HEIGHT: u32 = 42;
/// Height of what stands below the bars of classes.
const FOOT: u32 = 68;
/// Bars are drawn of so many classes: those told worst.
const MAX_CLASSES: usize = 60;
/// Characters of the name of a class.
const LABEL_LENGTH: usize = 26;
const TITLE_SIZE: u32 = 18;
/// Of a title that is longer than the picture is wide.
const LONG_TITLE_SIZE: u32 = 14;
const LABEL_SIZE: u32 = 13;
const COUNT_SIZE: u32 = 11;
/// Of the numbers behind bars.
const SHARE_SIZE: u32 = 10;
/// Room for such a number behind the longest bar.
const SHARE_ROOM: i32 = 34;
const MARGIN: i32 = 12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What stands above a chart.
struct Head<'a> {
    title: String,
    note: String,
    /// What the colours stand for.
    key: &'a [(&'a str, RGBColor)],
}

impl Head<'_> {
    /// A white sheet with the head on it; what is left for the chart, as high as wished.
    fn on<'a>(&self, svg: &'a mut String, height: u32) -> Result<Area<'a>, PictureError> {
        let whole = SVGBackend::with_string(svg, (WIDTH, HEAD + height)).into_drawing_area();
        whole.fill(&WHITE)?;
        let (head, chart) = whole.split_vertically(HEAD);
        let title = writable(&self.title);
        let fits = label::width(&title, TITLE_SIZE.into()) <= f64::from(WIDTH);
        let size = if fits { TITLE_SIZE } else { LONG_TITLE_SIZE };
        let room = (f64::from(WIDTH) / label::width("x", size.into())) as usize;
        head.draw(&Text::new(
            shortened(&title, room),
            (MARGIN, 10),
            (FONT, size).into_font().color(&INK),
        ))?;
        let small = (FONT, LABEL_SIZE).into_font().color(&INK);
        head.draw(&Text::new(self.note.clone(), (MARGIN, 36), small.clone()))?;
        let mut left = MARGIN;
        for (name, colour) in self.key {
            head.draw(&Rectangle::new([(left, 60), (left + 14, 70)], colour.filled()))?;
            head.draw(&Text::new((*name).to_owned(), (left + 20, 58), small.clone()))?;
            left += 32 + label::width(name, LABEL_SIZE.into()) as i32;
        }
        Ok(chart)
    }
}

/// Confidence against accuracy as bars, one a bin, with the gap between the two; below, how many images are in each.
///
/// # Errors
/// It cannot be drawn.
pub fn reliability(subject: &str, bins: &[CalibrationBin]) -> Result<String, PictureError> {
    let images: u64 = bins.iter().map(|bin| bin.image_count as u64).sum();
    let error = expected_calibration_error(bins);
    let head = Head {
        title: format!("Calibration of {subject}"),
        note: format!(
            "expected calibration error {error:.4}, of {images} images; orange and green lead from accuracy to confidence"
        ),
        key: &[
            ("accuracy", BLUE),
            ("overconfident", ORANGE),
            ("underconfident", GREEN),
            ("perfect calibration", GREY),
        ],
    };
    let edge = |index: usize| index as f64 / bins.len() as f64;
    let filled = || bins.iter().enumerate().filter(|(_, bin)| bin.image_count > 0);
    let bar = |index: usize, [from, to]: [f64; 2], style: ShapeStyle| {
        let mut bar = Rectangle::new([(edge(index), from), (edge(index + 1), to)], style);
        bar.set_margin(0, 0, 1, 1);
        bar
    };
    // Narrower, so that the bar of the accuracy is seen to its end also where the confidence is less.
    let gap = |index: usize, between: [f64; 2], style: ShapeStyle| {
        let mut bar = bar(index, between, style);
        bar.set_margin(0, 0, GAP_MARGIN, GAP_MARGIN);
        bar
    };
    let mut svg = String::new();
    {
        let (shares, counts) = head.on(&mut svg, CHART + COUNTS)?.split_vertically(CHART);
        let mut chart = ChartBuilder::on(&shares)
            .margin(MARGIN)
            .x_label_area_size(24)
            .y_label_area_size(54)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .y_desc("accuracy")
            .draw()?;
        chart.draw_series(filled().map(|(index, bin)| bar(index, [0.0, bin.accuracy], BLUE.filled())))?;
        chart.draw_series(filled().map(|(index, bin)| match bin.confidence > bin.accuracy {
            true => gap(index, [bin.accuracy, bin.confidence], ORANGE.filled()),
            false => gap(index, [bin.confidence, bin.accuracy], GREEN.filled()),
        }))?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(2)))?;

        let most = bins.iter().map(|bin| bin.image_count).max().unwrap_or(0).max(1) as f64;
        let mut chart = ChartBuilder::on(&counts)
            .margin(MARGIN)
            .margin_top(16)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .build_cartesian_2d(0.0..1.0, 0.0..most)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .y_labels(2)
            .y_label_formatter(&|count| match count.fract() == 0.0 {
                true => label::count(*count as u64),
                false => String::new(),
            })
            .label_style((FONT, LABEL_SIZE))
            .x_desc("confidence")
            .y_desc("images")
            .draw()?;
        chart.draw_series(filled().map(|(index, bin)| bar(index, [0.0, bin.image_count as f64], GREY.filled())))?;
        let above = (FONT, COUNT_SIZE).into_font().color(&INK);
        let above = above.pos(Pos::new(HPos::Center, VPos::Bottom));
        chart.draw_series(filled().map(|(index, bin)| {
            let top = ((edge(index) + edge(index + 1)) / 2.0, bin.image_count as f64);
            EmptyElement::at(top) + Text::new(label::count(bin.image_count as u64), (0, -2), above.clone())
        }))?;
        counts.present()?;
    }
    Ok(svg)
}

/// Precision, recall and F1 of classes as bars from left to right, a class below the other.
///
/// # Errors
/// It cannot be drawn.
pub fn class_bars(subject: &str, reports: &[ClassReport], names: &[String]) -> Result<String, PictureError> {
    type Share = fn(&ClassReport) -> Option<f64>;
    let kinds: [(&str, RGBColor, Share); 3] = [
        ("precision", BLUE, |report| report.precision),
        ("recall", ORANGE, |report| report.recall),
        ("F1", GREEN, |report| report.f1),
    ];
    let mut reports = reports.to_vec();
    let (all, is_cut) = (reports.len(), reports.len() > MAX_CLASSES);
    if is_cut {
        reports.sort_by(|a, b| a.f1.unwrap_or(0.0).total_cmp(&b.f1.unwrap_or(0.0)));
        reports.truncate(MAX_CLASSES);
    }
    let head = Head {
        title: format!("Classes of {subject}"),
        note: match is_cut {
            true => format!("the {MAX_CLASSES} of {all} classes with the lowest F1"),
            false => "how well each class is told from the others; without a number: a share of no images".to_owned(),
        },
        key: &kinds.map(|(name, colour, _)| (name, colour)),
    };
    let labels: Vec<String> = reports
        .iter()
        .map(|report| shortened(&writable(&class_name(names, report.class)), LABEL_LENGTH))
        .collect();
    let widest = labels
        .iter()
        .map(|name| label::width(name, LABEL_SIZE.into()))
        .fold(0.0, f64::max);
    let count = reports.len() as u32;
    let mut svg = String::new();
    {
        let area = head.on(&mut svg, CLASS_HEIGHT * count + FOOT)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(MARGIN)
            .margin_right(MARGIN + SHARE_ROOM)
            .x_label_area_size(44)
            .y_label_area_size(widest as u32 + 16)
            .build_cartesian_2d(0.0..1.0, 0.0..f64::from(count))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .x_desc("share")
            .draw()?;
        // The first class stands at the top, where the axis ends.
        let top = |index: usize| f64::from(count) - index as f64;
        for (place, (_, colour, share)) in kinds.into_iter().enumerate() {
            let bars = || {
                reports.iter().enumerate().filter_map(move |(index, report)| {
                    let upper = top(index) - 0.1 - place as f64 * 0.27;
                    share(report).map(|share| (share, upper))
                })
            };
            let bar = |(share, upper)| Rectangle::new([(0.0, upper), (share, upper - 0.25)], colour.filled());
            chart.draw_series(bars().map(bar))?;
            let behind = (FONT, SHARE_SIZE).into_font().color(&INK);
            let behind = behind.pos(Pos::new(HPos::Left, VPos::Center));
            chart.draw_series(bars().map(|(share, upper)| {
                EmptyElement::at((share, upper - 0.125)) + Text::new(format!("{share:.3}"), (4, 0), behind.clone())
            }))?;
        }
        let beside = (FONT, LABEL_SIZE).into_font().color(&INK);
        let beside = beside.pos(Pos::new(HPos::Right, VPos::Center));
        chart.draw_series(labels.into_iter().enumerate().map(|(index, name)| {
            EmptyElement::at((0.0, top(index) - 0.5)) + Text::new(name, (-8, 0), beside.clone())
        }))?;
        area.present()?;
    }
    Ok(svg)
}

/// Loss and accuracy of each epoch of a training.
///
/// # Errors
/// It cannot be drawn.
pub fn training_curve(subject: &str, epochs: &[EpochReport]) -> Result<String, PictureError> {
    let last = epochs.iter().map(|report| report.epoch).max().unwrap_or(1);
    let most = epochs.iter().map(|report| report.loss).fold(1e-3, f64::max);
    let least = epochs.iter().map(|report| report.accuracy).fold(0.9, f64::min);
    let shares = (least * 10.0).floor() / 10.0..1.0;
    let tick = |loss: f64| match most {
        1e4.. => format!("{loss:.1e}"),
        2.0.. => format!("{loss:.1}"),
        0.2.. => format!("{loss:.2}"),
        _ => format!("{loss:.3}"),
    };
    let head = Head {
        title: format!("Training of {subject}"),
        note: epochs.last().map_or_else(String::new, |end| {
            format!(
                "on the training images, at the end: loss {} nats, accuracy {:.2} %",
                loss_in_words(end.loss),
                end.accuracy * 100.0
            )
        }),
        key: &[("loss (left)", BLUE), ("accuracy (right)", ORANGE)],
    };
    let mut svg = String::new();
    {
        let area = head.on(&mut svg, CHART)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(MARGIN)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .right_y_label_area_size(60)
            .build_cartesian_2d(1..last.max(2), 0.0..most * 1.05)?
            .set_secondary_coord(1..last.max(2), shares);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .y_label_formatter(&|loss| tick(*loss))
            .x_desc("epoch")
            .y_desc("loss in nats")
            .draw()?;
        chart
            .configure_secondary_axes()
            .label_style((FONT, LABEL_SIZE))
            .y_label_formatter(&|share| format!("{share:.2}"))
            .y_desc("accuracy")
            .draw()?;
        let losses = || epochs.iter().map(|report| (report.epoch, report.loss));
        let accuracies = || epochs.iter().map(|report| (report.epoch, report.accuracy));
        chart.draw_series(LineSeries::new(losses(), BLUE.stroke_width(2)))?;
        chart.draw_series(losses().map(|point| Circle::new(point, 3, BLUE.filled())))?;
        chart.draw_secondary_series(LineSeries::new(accuracies(), ORANGE.stroke_width(2)))?;
        chart.draw_secondary_series(accuracies().map(|point| Circle::new(point, 3, ORANGE.filled())))?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::png;

    fn report(class: u16) -> ClassReport {
        ClassReport {
            class,
            image_count: 3,
            predicted_count: 3,
            precision: Some(1.0),
            recall: Some(1.0),
            f1: Some(1.0),
        }
    }

    #[test]
    fn names_of_any_characters_can_be_drawn() {
        let svg = class_bars("a\u{1}b <script>", &[report(0)], &["<&\u{ffff}>".to_owned()]).unwrap();
        assert!(svg.contains("a\u{fffd}b") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains("<script>"));
        assert!(png(&svg).is_ok());
    }

    #[test]
    fn names_of_classes_are_written_out() {
        let svg = class_bars(
            "a",
            &[report(0), report(1)],
            &["T-shirt/top".to_owned(), "Ankle boot".to_owned()],
        )
        .unwrap();
        assert!(svg.contains("T-shirt/top") && svg.contains("Ankle boot"), "{svg}");
    }

    #[test]
    fn a_long_name_leaves_the_calibration_error_and_the_counts_of_images_to_be_read() {
        let bin = CalibrationBin {
            image_count: 12_345,
            confidence: 0.9,
            accuracy: 0.8,
        };
        let svg = reliability(&"name".repeat(40), &[bin]).unwrap();
        assert!(
            svg.contains("expected calibration error 0.1000, of 12345 images;"),
            "{svg}"
        );
        assert!(svg.contains("12.3k"), "{svg}");
    }
}
