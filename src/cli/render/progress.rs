//! The progress bar of a running request.

use std::time::Duration;

use super::style::Style;

/// Terminals narrower than this get no bar.
const NARROWEST: usize = 35;
/// Columns beside the bar itself.
const BESIDE: usize = 30;
/// The bar is never wider than this.
const WIDEST: usize = 80;

/// One line, not ended: `2 / 3    1s [=====>----]  67%`. Nothing when the terminal is too narrow for a bar.
///
/// `elapsed` is absent until the first reply.
pub fn bar(
    done: usize,
    total: usize,
    elapsed: Option<Duration>,
    columns: usize,
    style: Style,
) -> Option<String> {
    if columns < NARROWEST {
        return None;
    }
    let width = (columns - BESIDE).min(WIDEST);
    let done_here = done.min(total);
    let count = format!("{done} / {total}");
    let count = if done < total { style.red(&count) } else { style.green(&count) };
    let elapsed = elapsed.map_or_else(|| "---".to_string(), |span| whole_seconds(span.as_secs()));
    // Rounded, but 100 only when all are there.
    let most = if done_here < total { 99 } else { 100 };
    let percent = (done_here * 100 + total / 2).checked_div(total).unwrap_or(100).min(most);
    let filled = (width * done_here).checked_div(total).unwrap_or(width);
    let mut cells: Vec<char> = (0..width).map(|at| if at < filled { '=' } else { '-' }).collect();
    if filled > 0 && filled < width {
        cells[filled - 1] = '>';
    }
    cells[0] = '[';
    cells[width - 1] = ']';
    let cells: String = cells.into_iter().collect();
    Some(format!("{count} {elapsed:>5} {cells} {percent:>3}%"))
}

fn whole_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(done: usize, total: usize, seconds: Option<u64>) -> String {
        bar(done, total, seconds.map(Duration::from_secs), 50, Style::PLAIN).unwrap_or_default()
    }

    #[test]
    fn the_bar_fills_up() {
        assert_eq!(draw(0, 2, None), "0 / 2   --- [------------------]   0%");
        assert_eq!(draw(1, 2, Some(0)), "1 / 2    0s [========>---------]  50%");
        assert_eq!(draw(2, 2, Some(61)), "2 / 2  1m1s [==================] 100%");
        assert!(draw(2, 3, Some(1)).ends_with(" 67%"));
        assert!(draw(999, 1000, Some(1)).ends_with(" 99%"));
        assert_eq!(draw(3, 2, Some(1)), "3 / 2    1s [==================] 100%");
    }

    #[test]
    fn a_narrow_terminal_has_none_and_a_wide_one_a_limited_one() {
        assert_eq!(bar(0, 1, None, 34, Style::PLAIN), None);
        let wide = bar(0, 1, None, 300, Style::PLAIN).unwrap_or_default();
        assert_eq!(wide.chars().filter(|c| *c == '-').count(), 78 + 3);
    }
}
