//! Line and bar charts with labelled axes and a legend, drawn by plotters. The colours are those of Okabe and Ito, which people
//! with any kind of colour vision can distinguish.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::label::{self, FONT, shorten, writable};
use super::raster::PictureError;
use scv_domain::evaluation::{CalibrationBin, ClassReport, class_name, expected_calibration_error, format_loss};
use scv_domain::training::EpochReport;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const LIGHT_BLUE: RGBColor = RGBColor(86, 180, 233);
const RED: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(150, 150, 150);
const INK: RGBColor = RGBColor(34, 34, 34);

const WIDTH: u32 = 560;
/// Height of the title, the note and the legend.
const HEADER_HEIGHT: u32 = 84;
/// Height of line charts, and of the bars of calibration bins.
const CHART_HEIGHT: u32 = 396;
/// Height of the bars with the number of images per bin.
const COUNTS_HEIGHT: u32 = 130;
/// Visible part of a bin's bar on both sides of the narrower bar that shows the gap.
const GAP_MARGIN: u32 = 9;
/// Height of the bars of one class.
const CLASS_HEIGHT: u32 = 42;
/// Height of the axis below the bars of classes.
const FOOTER_HEIGHT: u32 = 68;
/// Maximum number of classes in a chart: those with the lowest F1.
const MAX_CLASSES: usize = 60;
/// Maximum number of characters of a class name.
const MAX_LABEL_LENGTH: usize = 26;
const TITLE_SIZE: u32 = 18;
/// Font size of a title that is too long for the width of the picture.
const LONG_TITLE_SIZE: u32 = 14;
const LABEL_SIZE: u32 = 13;
const COUNT_SIZE: u32 = 11;
/// Font size of the numbers after bars.
const SHARE_SIZE: u32 = 10;
/// Space for such a number after the longest bar.
const SHARE_WIDTH: i32 = 34;
const MARGIN: i32 = 12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The header of a chart.
struct Header<'a> {
    title: String,
    note: String,
    /// The meaning of the colours.
    legend: &'a [(&'a str, RGBColor)],
}

impl Header<'_> {
    /// Draws the header on a white background. Returns the area below it, which has the given height.
    fn draw<'a>(&self, svg: &'a mut String, height: u32) -> Result<Area<'a>, PictureError> {
        let whole = SVGBackend::with_string(svg, (WIDTH, HEADER_HEIGHT + height)).into_drawing_area();
        whole.fill(&WHITE)?;
        let (header, chart) = whole.split_vertically(HEADER_HEIGHT);
        let title = writable(&self.title);
        let fits = label::width(&title, TITLE_SIZE.into()) <= f64::from(WIDTH);
        let size = if fits { TITLE_SIZE } else { LONG_TITLE_SIZE };
        let max_length = (f64::from(WIDTH) / label::width("x", size.into())) as usize;
        header.draw(&Text::new(
            shorten(&title, max_length),
            (MARGIN, 10),
            (FONT, size).into_font().color(&INK),
        ))?;
        let small = (FONT, LABEL_SIZE).into_font().color(&INK);
        header.draw(&Text::new(self.note.clone(), (MARGIN, 36), small.clone()))?;
        let mut left = MARGIN;
        for (name, colour) in self.legend {
            header.draw(&Rectangle::new([(left, 60), (left + 14, 70)], colour.filled()))?;
            header.draw(&Text::new((*name).to_owned(), (left + 20, 58), small.clone()))?;
            left += 32 + label::width(name, LABEL_SIZE.into()) as i32;
        }
        Ok(chart)
    }
}

/// A reliability diagram: accuracy and its gap to the confidence as bars, one per bin, above the number of images per bin.
///
/// # Errors
/// The chart cannot be drawn.
pub fn reliability_diagram(subject: &str, bins: &[CalibrationBin]) -> Result<String, PictureError> {
    let images: u64 = bins.iter().map(|bin| bin.image_count as u64).sum();
    let error = expected_calibration_error(bins);
    let header = Header {
        title: format!("Calibration of {subject}"),
        note: format!(
            "expected calibration error {error:.4}, {images} images; orange and green: gap between accuracy and confidence"
        ),
        legend: &[
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
    // Narrower, so that the end of the accuracy bar is visible even if the confidence is lower.
    let gap = |index: usize, between: [f64; 2], style: ShapeStyle| {
        let mut bar = bar(index, between, style);
        bar.set_margin(0, 0, GAP_MARGIN, GAP_MARGIN);
        bar
    };
    let mut svg = String::new();
    {
        let (shares, counts) = header
            .draw(&mut svg, CHART_HEIGHT + COUNTS_HEIGHT)?
            .split_vertically(CHART_HEIGHT);
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
        chart.draw_series(filled().map(|(index, bin)| {
            if bin.confidence > bin.accuracy {
                gap(index, [bin.accuracy, bin.confidence], ORANGE.filled())
            } else {
                gap(index, [bin.confidence, bin.accuracy], GREEN.filled())
            }
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
            .y_label_formatter(&|count| {
                if count.fract() == 0.0 {
                    label::count(*count as u64)
                } else {
                    String::new()
                }
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

/// Precision, recall and F1 per class as horizontal bars.
///
/// # Errors
/// The chart cannot be drawn.
pub fn class_metrics(subject: &str, reports: &[ClassReport], names: &[String]) -> Result<String, PictureError> {
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
    let header = Header {
        title: format!("Per-class metrics of {subject}"),
        note: if is_cut {
            format!("the {MAX_CLASSES} of {all} classes with the lowest F1")
        } else {
            "precision, recall and F1 per class; no number: undefined, because there are no such images".to_owned()
        },
        legend: &kinds.map(|(name, colour, _)| (name, colour)),
    };
    let labels: Vec<String> = reports
        .iter()
        .map(|report| shorten(&writable(&class_name(names, report.class)), MAX_LABEL_LENGTH))
        .collect();
    let widest = labels
        .iter()
        .map(|name| label::width(name, LABEL_SIZE.into()))
        .fold(0.0, f64::max);
    let count = reports.len() as u32;
    let mut svg = String::new();
    {
        let area = header.draw(&mut svg, CLASS_HEIGHT * count + FOOTER_HEIGHT)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(MARGIN)
            .margin_right(MARGIN + SHARE_WIDTH)
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
        // The first class is at the top, where the axis ends.
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
            let after = (FONT, SHARE_SIZE).into_font().color(&INK);
            let after = after.pos(Pos::new(HPos::Left, VPos::Center));
            chart.draw_series(bars().map(|(share, upper)| {
                EmptyElement::at((share, upper - 0.125)) + Text::new(format!("{share:.3}"), (4, 0), after.clone())
            }))?;
        }
        let before = (FONT, LABEL_SIZE).into_font().color(&INK);
        let before = before.pos(Pos::new(HPos::Right, VPos::Center));
        chart.draw_series(labels.into_iter().enumerate().map(|(index, name)| {
            EmptyElement::at((0.0, top(index) - 0.5)) + Text::new(name, (-8, 0), before.clone())
        }))?;
        area.present()?;
    }
    Ok(svg)
}

/// Loss and accuracy per epoch of a training, also those of the validation images if there are any.
///
/// # Errors
/// The chart cannot be drawn.
pub fn training_curve(subject: &str, epochs: &[EpochReport]) -> Result<String, PictureError> {
    let last = epochs.iter().map(|report| report.epoch).max().unwrap_or(1);
    let curve = |value: fn(&EpochReport) -> Option<f64>| -> Vec<(u32, f64)> {
        let points = epochs.iter().map(|report| (report.epoch, value(report)));
        points.filter_map(|(epoch, value)| Some((epoch, value?))).collect()
    };
    let losses = [
        (curve(|report| Some(report.loss)), BLUE),
        (curve(|report| Some(report.validation?.loss)), LIGHT_BLUE),
    ];
    let accuracies = [
        (curve(|report| Some(report.accuracy)), ORANGE),
        (curve(|report| Some(report.validation?.accuracy)), RED),
    ];
    let values = |curves: &[(Vec<(u32, f64)>, RGBColor)]| -> Vec<f64> {
        let points = curves.iter().flat_map(|(points, _)| points);
        points.map(|(_, value)| *value).collect()
    };
    let most = values(&losses).into_iter().fold(1e-3, f64::max);
    let least = values(&accuracies).into_iter().fold(0.9, f64::min);
    let shares = (least * 10.0).floor() / 10.0..1.0;
    let tick = |loss: f64| match most {
        1e4.. => format!("{loss:.1e}"),
        2.0.. => format!("{loss:.1}"),
        0.2.. => format!("{loss:.2}"),
        _ => format!("{loss:.3}"),
    };
    let end = epochs.last();
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let validation = end.and_then(|end| end.validation).map(|of| {
        let (loss, accuracy) = (format_loss(of.loss), percent(of.accuracy));
        format!("; validation images: {loss}, {accuracy}")
    });
    let legend = [
        ("loss (left)", BLUE),
        ("accuracy (right)", ORANGE),
        ("validation loss", LIGHT_BLUE),
        ("validation accuracy", RED),
    ];
    let header = Header {
        title: format!("Training of {subject}"),
        note: end.map_or_else(String::new, |end| {
            let (loss, accuracy) = (format_loss(end.loss), percent(end.accuracy));
            format!("training images, last epoch: loss {loss} nats, accuracy {accuracy}")
                + &validation.clone().unwrap_or_default()
        }),
        legend: if validation.is_some() { &legend } else { &legend[..2] },
    };
    let mut svg = String::new();
    {
        let area = header.draw(&mut svg, CHART_HEIGHT)?;
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
        for (points, colour) in losses {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        for (points, colour) in accuracies {
            chart.draw_secondary_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_secondary_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::png;
    use scv_domain::training::Validation;

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
    fn names_with_any_characters_can_be_drawn() {
        let svg = class_metrics("a\u{1}b <script>", &[report(0)], &["<&\u{ffff}>".to_owned()]).unwrap();
        assert!(svg.contains("a\u{fffd}b") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains("<script>"));
        assert!(png(&svg).is_ok());
    }

    #[test]
    fn class_names_are_drawn() {
        let svg = class_metrics(
            "a",
            &[report(0), report(1)],
            &["T-shirt/top".to_owned(), "Ankle boot".to_owned()],
        )
        .unwrap();
        assert!(svg.contains("T-shirt/top") && svg.contains("Ankle boot"), "{svg}");
    }

    #[test]
    fn the_validation_of_a_training_is_drawn_if_there_is_one() {
        let report = |epoch, validation| EpochReport {
            epoch,
            loss: 0.5 / f64::from(epoch),
            accuracy: 0.9,
            validation,
        };
        let validation = Some(Validation {
            accuracy: 0.75,
            loss: 0.8,
        });
        let with = training_curve("a", &[report(1, validation), report(2, validation)]).unwrap();
        assert!(with.contains("validation images: 0.8000, 75.00%"), "{with}");
        let without = training_curve("a", &[report(1, None), report(2, None)]).unwrap();
        assert!(!without.contains("validation"), "{without}");
        for colour in ["#56B4E9", "#D55E00"] {
            assert!(with.contains(colour) && !without.contains(colour), "{colour}: {with}");
        }
    }

    #[test]
    fn a_long_name_does_not_hide_the_calibration_error_and_the_image_counts() {
        let bin = CalibrationBin {
            image_count: 12_345,
            confidence: 0.9,
            accuracy: 0.8,
        };
        let svg = reliability_diagram(&"name".repeat(40), &[bin]).unwrap();
        assert!(
            svg.contains("expected calibration error 0.1000, 12345 images;"),
            "{svg}"
        );
        assert!(svg.contains("12.3k"), "{svg}");
    }
}
