//! Tables drawn with box characters.

/// A table being built: an optional title, headers, rows of cells that may hold several lines.
#[derive(Debug, Default)]
pub struct Table {
    title: Option<String>,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headers.
    pub fn new<T: Into<String>>(headers: impl IntoIterator<Item = T>) -> Table {
        Table {
            title: None,
            headers: headers.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Puts a centred title above the headers.
    pub fn titled(mut self, title: impl Into<String>) -> Table {
        self.title = Some(title.into());
        self
    }

    /// Adds a row; missing cells are empty, cells beyond the headers are dropped.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.headers.len(), String::new());
        self.rows.push(row);
    }

    /// The whole table, each line ended.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        match &self.title {
            Some(title) => {
                rule(&mut out, &widths, ('╭', '─', '╮'));
                let inner = widths.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1);
                out.push_str(&format!("│{title:^inner$}│\n"));
                rule(&mut out, &widths, ('├', '┬', '┤'));
            }
            None => rule(&mut out, &widths, ('╭', '┬', '╮')),
        }
        line(&mut out, &self.headers, &widths);
        rule(&mut out, &widths, ('├', '┼', '┤'));
        for row in &self.rows {
            line(&mut out, row, &widths);
        }
        rule(&mut out, &widths, ('╰', '┴', '╯'));
        out
    }

    /// Width of each column; the last one is stretched when the title needs it.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.headers.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .chain(self.headers.get(column))
                    .flat_map(|cell| cell.lines())
                    .map(columns)
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let needed = self.title.as_deref().map_or(0, |title| columns(title) + 2);
        let inner = widths.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1);
        if let Some(last) = widths.last_mut() {
            *last += needed.saturating_sub(inner);
        }
        widths
    }
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

fn rule(out: &mut String, widths: &[usize], (left, middle, right): (char, char, char)) {
    out.push(left);
    for (index, width) in widths.iter().enumerate() {
        if index > 0 {
            out.push(middle);
        }
        out.push_str(&"─".repeat(width + 2));
    }
    out.push(right);
    out.push('\n');
}

fn line(out: &mut String, cells: &[String], widths: &[usize]) {
    let height = cells.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
    for index in 0..height {
        out.push('│');
        for (cell, width) in cells.iter().zip(widths) {
            out.push_str(&format!(" {:width$} │", cell.lines().nth(index).unwrap_or("")));
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_box_around_it() {
        let mut table = Table::new(["Fact", "Matches"]);
        table.row(["CentOS", "3"]);
        table.row(["a\nb"]);
        assert_eq!(
            table.render(),
            "╭────────┬─────────╮\n\
             │ Fact   │ Matches │\n\
             ├────────┼─────────┤\n\
             │ CentOS │ 3       │\n\
             │ a      │         │\n\
             │ b      │         │\n\
             ╰────────┴─────────╯\n"
        );
    }

    #[test]
    fn a_title_is_centred_and_widens_the_table() {
        let mut table = Table::new(["A", "B"]).titled("Report for 1 node");
        table.row(["x", "1"]);
        assert_eq!(
            table.render(),
            "╭───────────────────╮\n\
             │ Report for 1 node │\n\
             ├───┬───────────────┤\n\
             │ A │ B             │\n\
             ├───┼───────────────┤\n\
             │ x │ 1             │\n\
             ╰───┴───────────────╯\n"
        );
    }
}
