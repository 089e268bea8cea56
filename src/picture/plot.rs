//! Curves and bars with labelled axes and a legend, drawn by plotters. The colours are those of Okabe and Ito, which people
//! with any kind of colour vision tell apart.

use plotters::chart::SeriesLabelPosition;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::raster::{FONT, PictureError, writable};
use crate::domain::evaluation::{CalibrationBin, ClassReport, class_name, expected_calibration_error};
use crate::domain::training::EpochReport;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const GREY: RGBColor = RGBColor(150, 150, 150);

const HEIGHT: u32 = 480;
const WIDTH: u32 = 560;
/// Width of what belongs to one class.
const CLASS_WIDTH: u32 = 40;
/// Bars are drawn of so many classes: those told worst.
const MOST_CLASSES: usize = 60;
/// Where the axis of shares ends if the legend stands above them.
const ROOM_FOR_LEGEND: f64 = 1.26;
const TITLE_SIZE: u32 = 18;
const LABEL_SIZE: u32 = 13;

/// Confidence against accuracy as bars, one a bin, beside the line where they are equal.
///
/// # Errors
/// It cannot be drawn.
pub fn reliability(subject: &str, bins: &[CalibrationBin]) -> Result<String, PictureError> {
    let title = format!(
        "Calibration of {subject}: expected error {:.3}",
        expected_calibration_error(bins)
    );
    let mut svg = String::new();
    {
        let area = sheet(&mut svg, WIDTH)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(shortened(&title, WIDTH), (FONT, TITLE_SIZE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .x_desc("confidence")
            .y_desc("share classified right")
            .draw()?;
        let edge = |index: usize| index as f64 / bins.len() as f64;
        let filled = bins.iter().enumerate().filter(|(_, bin)| bin.image_count > 0);
        let bars = filled.map(|(index, bin)| {
            let mut bar = Rectangle::new([(edge(index), 0.0), (edge(index + 1), bin.accuracy)], BLUE.filled());
            bar.set_margin(0, 0, 1, 1);
            bar
        });
        chart.draw_series(bars)?.label("classified right").legend(patch(BLUE));
        let means = bins.iter().filter(|bin| bin.image_count > 0);
        chart
            .draw_series(means.map(|bin| Circle::new((bin.confidence, bin.accuracy), 4, ORANGE.filled())))?
            .label("mean confidence of the bin")
            .legend(patch(ORANGE));
        chart
            .draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GREY.stroke_width(2)))?
            .label("as sure as right")
            .legend(patch(GREY));
        legend(&mut chart, SeriesLabelPosition::UpperLeft)?;
        area.present()?;
    }
    Ok(svg)
}

/// Precision, recall and F1 of classes as bars.
///
/// # Errors
/// It cannot be drawn.
pub fn class_bars(subject: &str, reports: &[ClassReport], names: &[String]) -> Result<String, PictureError> {
    let mut reports = reports.to_vec();
    let title = match reports.len() > MOST_CLASSES {
        false => format!("Classes of {subject}"),
        true => format!("The {MOST_CLASSES} classes told worst of {subject}"),
    };
    if reports.len() > MOST_CLASSES {
        reports.sort_by(|a, b| a.f1.unwrap_or(0.0).total_cmp(&b.f1.unwrap_or(0.0)));
        reports.truncate(MOST_CLASSES);
    }
    let labels: Vec<String> = reports.iter().map(|report| class_name(names, report.class)).collect();
    let width = WIDTH.max(90 + CLASS_WIDTH * reports.len() as u32);
    let mut svg = String::new();
    {
        let area = sheet(&mut svg, width)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(shortened(&title, width), (FONT, TITLE_SIZE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .build_cartesian_2d(0.0..reports.len() as f64, 0.0..ROOM_FOR_LEGEND)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .y_label_formatter(&share_label)
            .y_desc("share")
            .draw()?;
        type Share = fn(&ClassReport) -> Option<f64>;
        let kinds: [(&str, RGBColor, Share); 3] = [
            ("precision", BLUE, |report| report.precision),
            ("recall", ORANGE, |report| report.recall),
            ("F1", GREEN, |report| report.f1),
        ];
        for (place, (label, colour, share)) in kinds.into_iter().enumerate() {
            let bars = reports.iter().enumerate().filter_map(|(index, report)| {
                let left = index as f64 + 0.1 + place as f64 * 0.27;
                share(report).map(|share| Rectangle::new([(left, 0.0), (left + 0.25, share)], colour.filled()))
            });
            chart.draw_series(bars)?.label(label).legend(patch(colour));
        }
        let under = chart.plotting_area().get_pixel_range().1.end + 8;
        let names = labels.iter().enumerate().map(|(index, label)| {
            let (x, _) = chart.backend_coord(&(index as f64 + 0.5, 0.0));
            let style = (FONT, LABEL_SIZE).into_font().into_text_style(&area);
            let centred = style.pos(Pos::new(HPos::Center, VPos::Top));
            Text::new(shortened(label, CLASS_WIDTH + 14), (x, under), centred)
        });
        for name in names.collect::<Vec<_>>() {
            area.draw(&name)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)?;
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
    let mut svg = String::new();
    {
        let area = sheet(&mut svg, WIDTH)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(shortened(&format!("Training of {subject}"), WIDTH), (FONT, TITLE_SIZE))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .right_y_label_area_size(54)
            .build_cartesian_2d(1..last.max(2), 0.0..most * 1.05)?
            .set_secondary_coord(1..last.max(2), 0.0..1.0);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style((FONT, LABEL_SIZE))
            .x_desc("epoch")
            .y_desc("loss in nats")
            .draw()?;
        chart
            .configure_secondary_axes()
            .label_style((FONT, LABEL_SIZE))
            .y_desc("share classified right")
            .draw()?;
        let losses = || epochs.iter().map(|report| (report.epoch, report.loss));
        let accuracies = || epochs.iter().map(|report| (report.epoch, report.accuracy));
        chart
            .draw_series(LineSeries::new(losses(), BLUE.stroke_width(2)))?
            .label("loss (left)")
            .legend(patch(BLUE));
        chart.draw_series(losses().map(|point| Circle::new(point, 3, BLUE.filled())))?;
        chart
            .draw_secondary_series(LineSeries::new(accuracies(), ORANGE.stroke_width(2)))?
            .label("classified right (right)")
            .legend(patch(ORANGE));
        chart.draw_secondary_series(accuracies().map(|point| Circle::new(point, 3, ORANGE.filled())))?;
        legend(&mut chart, SeriesLabelPosition::MiddleRight)?;
        area.present()?;
    }
    Ok(svg)
}

/// A white sheet.
fn sheet(svg: &mut String, width: u32) -> Result<DrawingArea<SVGBackend<'_>, Shift>, PictureError> {
    let area = SVGBackend::with_string(svg, (width, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

fn legend<'a, B: DrawingBackend + 'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, B, C>,
    position: SeriesLabelPosition,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(GREY)
        .label_font((FONT, LABEL_SIZE))
        .draw()
}

/// A share on an axis; what is above all shares is only room for the legend.
fn share_label(share: &f64) -> String {
    match *share > 1.0 {
        true => String::new(),
        false => format!("{share:.1}"),
    }
}

/// What stands beside a name in the legend.
fn patch(colour: RGBColor) -> impl Fn((i32, i32)) -> Rectangle<(i32, i32)> {
    move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled())
}

/// As much of a text as has room in a width: letters are about half as wide as high.
fn shortened(text: &str, width: u32) -> String {
    let text = writable(text);
    let room = (width / (LABEL_SIZE / 2 + 2)) as usize;
    match text.chars().count() <= room {
        true => text,
        false => text.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::picture::png;

    #[test]
    fn names_of_any_characters_can_be_drawn() {
        let report = ClassReport {
            class: 0,
            image_count: 3,
            predicted_count: 3,
            precision: Some(1.0),
            recall: Some(1.0),
            f1: Some(1.0),
        };
        let svg = class_bars("a\u{1}b <script>", &[report], &["<&\u{ffff}>".to_owned()]).unwrap();
        assert!(svg.contains("a\u{fffd}b") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains("<script>"));
        assert!(png(&svg).is_ok());
    }

    #[test]
    fn nothing_is_written_beside_the_room_for_the_legend() {
        assert_eq!((share_label(&1.0).as_str(), share_label(&1.2).as_str()), ("1.0", ""));
    }
}
