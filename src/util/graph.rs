//! Line graphs of numbers as text, in the shape that Choria's `chart` aggregate and `ping --graph` have.

/// Rows between the lowest and the highest value.
const HEIGHT: f64 = 15.0;
/// Points on the horizontal axis; values are stretched or squeezed to it.
const WIDTH: usize = 60;
/// Column of the axis.
const OFFSET: usize = 5;

/// Draws `values` in the order given, 60 points wide and 15 rows high, with the caption centred below.
///
/// No trailing spaces and no final line break. No values, or values that are not finite, give an empty string.
pub fn plot(values: &[f64], caption: &str) -> String {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return String::new();
    }
    let points = stretched(values);
    let axis = Axis::of(&points);
    let mut cells = vec![vec![String::from(" "); OFFSET + WIDTH]; axis.rows + 1];
    axis.label(&mut cells);
    axis.draw(&points, &mut cells);
    let mut text =
        cells.iter().map(|row| row.concat().trim_end().to_string()).collect::<Vec<_>>().join("\n");
    if !caption.is_empty() {
        let centring = (WIDTH.saturating_sub(caption.chars().count())) / 2;
        text.push('\n');
        text.push_str(&" ".repeat(OFFSET + axis.label_width + centring));
        text.push_str(caption);
    }
    text
}

/// Linear interpolation to exactly [`WIDTH`] points.
fn stretched(values: &[f64]) -> Vec<f64> {
    let last = values.len() - 1;
    let step = last as f64 / (WIDTH - 1) as f64;
    (0..WIDTH)
        .map(|index| {
            let place = index as f64 * step;
            let before = (place.floor() as usize).min(last);
            let after = (place.ceil() as usize).min(last);
            let part = if index == WIDTH - 1 { 0.0 } else { place - before as f64 };
            let from = if index == WIDTH - 1 { values[last] } else { values[before] };
            from + (values[after] - from) * part
        })
        .collect()
}

/// The vertical scale of one graph.
struct Axis {
    maximum: f64,
    interval: f64,
    ratio: f64,
    lowest_row: f64,
    rows: usize,
    precision: usize,
    label_width: usize,
}

impl Axis {
    fn of(points: &[f64]) -> Axis {
        let minimum = points.iter().copied().fold(f64::INFINITY, f64::min);
        let maximum = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let interval = (maximum - minimum).abs();
        let ratio = if interval > 0.0 { HEIGHT / interval } else { 1.0 };
        let rows = if interval > 0.0 {
            ((maximum * ratio).round() - (minimum * ratio).round()).abs()
        } else {
            0.0
        };
        let precision = precision(minimum, maximum);
        let width = |value: f64| format!("{value:.precision$}").len();
        Axis {
            maximum,
            interval,
            ratio,
            lowest_row: (minimum * ratio).round(),
            rows: rows as usize,
            precision,
            label_width: width(minimum).max(width(maximum)),
        }
    }

    fn label(&self, cells: &mut [Vec<String>]) {
        let (width, precision) = (self.label_width + 1, self.precision);
        for (index, row) in cells.iter_mut().enumerate() {
            let value = match self.rows {
                0 => self.maximum,
                rows => self.maximum - index as f64 * self.interval / rows as f64,
            };
            let label = format!("{value:width$.precision$}");
            let place = OFFSET.saturating_sub(label.len());
            row[place.min(OFFSET - 2)] = label;
            row[OFFSET - 1] = "┤".into();
        }
    }

    fn draw(&self, points: &[f64], cells: &mut [Vec<String>]) {
        cells[self.row(points[0])][OFFSET - 1] = "┼".into();
        for (index, pair) in points.windows(2).enumerate() {
            let (from, to) = (self.row(pair[0]), self.row(pair[1]));
            let column = OFFSET + index;
            if from == to {
                cells[from][column] = "─".into();
                continue;
            }
            // Rows count downwards: a smaller row is a higher value.
            let (leaving, entering) = if from < to { ("╮", "╰") } else { ("╯", "╭") };
            cells[from][column] = leaving.into();
            cells[to][column] = entering.into();
            for row in &mut cells[from.min(to) + 1..from.max(to)] {
                row[column] = "│".into();
            }
        }
    }

    fn row(&self, value: f64) -> usize {
        let up = ((value * self.ratio).round() - self.lowest_row).max(0.0) as usize;
        self.rows - up.min(self.rows)
    }
}

/// Decimals of the labels: two, none above 100, more for small fractions.
fn precision(minimum: f64, maximum: f64) -> usize {
    let largest = minimum.abs().max(maximum.abs());
    let magnitude = if largest == 0.0 { -1.0 } else { largest.log10() };
    if magnitude > 2.0 {
        0
    } else if magnitude >= 0.0 {
        2
    } else if magnitude % 1.0 != 0.0 {
        2 + (magnitude.abs() as usize).min(10)
    } else {
        2 + (magnitude.abs() as usize - 1).min(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_one_line() {
        let expected = format!(" 3.00   ┼{}\n{}x", "─".repeat(59), " ".repeat(OFFSET + 4 + 29));
        assert_eq!(plot(&[3.0], "x"), expected);
    }

    #[test]
    fn a_rise_has_sixteen_rows_from_the_highest_value_down() {
        let text = plot(&[0.0, 15.0], "");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 16);
        assert!(lines[0].trim_start().starts_with("15.00"), "{text}");
        assert!(lines[15].trim_start().starts_with("0.00"), "{text}");
        assert!(lines[15].contains('┼'), "{text}");
        assert!(lines[0].ends_with("╭─"), "{text}");
    }

    #[test]
    fn nothing_to_draw_is_empty() {
        assert_eq!(plot(&[], "caption"), "");
        assert_eq!(plot(&[f64::NAN], "caption"), "");
    }

    #[test]
    fn decimals_follow_the_size_of_the_values() {
        for (largest, decimals) in [(0.0, 2), (5.0, 2), (99.0, 2), (500.0, 0), (0.05, 3)] {
            assert_eq!(precision(0.0, largest), decimals, "{largest}");
        }
    }
}
