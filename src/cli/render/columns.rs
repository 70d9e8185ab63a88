//! Lists of names in columns.

/// Names across then down, `count` to a line, each column as wide as its longest name plus four.
/// Every line starts with four spaces.
pub fn across(names: &[String], count: usize) -> String {
    let rows: Vec<Vec<&str>> =
        names.chunks(count.max(1)).map(|row| row.iter().map(String::as_str).collect()).collect();
    aligned(&rows)
}

/// Names down then across, in `count` columns of at least `least` characters. Every line starts with four spaces.
pub fn down(names: &[String], count: usize, least: usize) -> String {
    let height = names.len().div_ceil(count.max(1)).max(1);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(least);
    let mut text = String::new();
    for row in 0..height.min(names.len()) {
        let mut line = String::from("   ");
        for name in names.iter().skip(row).step_by(height) {
            line.push_str(&format!(" {name:width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Rows of cells, columns aligned four apart. Every line starts with four spaces.
pub fn aligned<T: AsRef<str>>(rows: &[Vec<T>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.as_ref().chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let line: String = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:width$}    ", cell.as_ref()))
            .collect();
        text.push_str(format!("    {line}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn across_fills_lines_first() {
        assert_eq!(across(&names("n1 n22 n3 n4"), 3), "    n1    n22    n3\n    n4\n");
        assert_eq!(across(&[], 3), "");
    }

    #[test]
    fn down_fills_columns_first() {
        assert_eq!(down(&names("a b c d e"), 3, 3), "    a   c   e\n    b   d\n");
        assert_eq!(down(&names("a b"), 2, 0), "    a b\n");
        assert_eq!(down(&[], 2, 0), "");
    }
}
