//! What a page of the documentation marks as runnable.
//!
//! ````text
//! <!-- runnable after server.md -->      the blocks of that page are run first
//! ```sh runnable                         has to end with 0
//! ```sh runnable background              is started, and ended with the page
//! ```text output                         the shape of what the block before shows, or is waited for
//! ```ini runnable /etc/choria/x.conf     is written to that file
//! ````

/// A marked block.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// The line of the page that it begins on.
    pub line: usize,
    pub action: Action,
    /// What the page shows as its output.
    pub shape: Option<String>,
}

#[derive(Debug, PartialEq)]
pub enum Action {
    Run(String),
    Background(String),
    Write { path: String, text: String },
}

/// The marked blocks of a page, and the page whose blocks come first.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub after: Option<String>,
    pub steps: Vec<Step>,
}

impl Page {
    pub fn parse(text: &str) -> Page {
        let mut page = Page::default();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(rest) = line.strip_prefix("<!-- runnable after ") {
                page.after = Some(rest.trim_end_matches(" -->").to_owned());
            }
            let Some(mark) = line.strip_prefix("```") else { continue };
            let body: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let body = body.join("\n") + "\n";
            page.add(number + 1, mark, body);
        }
        page
    }

    fn add(&mut self, line: usize, mark: &str, body: String) {
        let action = match mark {
            "text output" => {
                let last = self.steps.last_mut();
                last.unwrap_or_else(|| panic!("line {line}: output of nothing")).shape = Some(body);
                return;
            }
            "sh runnable" => Action::Run(body),
            "sh runnable background" => Action::Background(body),
            _ => match mark.strip_prefix("ini runnable ") {
                Some(path) => Action::Write { path: path.to_owned(), text: body },
                None => {
                    assert!(!mark.contains("runnable"), "line {line}: unknown mark {mark:?}");
                    return;
                }
            },
        };
        self.steps.push(Step { line, action, shape: None });
    }
}

#[test]
fn marks_are_read() {
    let text = "<!-- runnable after a.md -->\n```sh\nno\n```\n```ini runnable /x\na = b\n```\n\
                ```sh runnable\nls\n```\n```text output\nx\n```\n```sh runnable background\ny\n```\n";
    let page = Page::parse(text);
    assert_eq!(page.after.as_deref(), Some("a.md"));
    let step =
        |line, action, shape: Option<&str>| Step { line, action, shape: shape.map(str::to_owned) };
    let write = Action::Write { path: "/x".to_owned(), text: "a = b\n".to_owned() };
    assert_eq!(
        page.steps,
        [
            step(5, write, None),
            step(8, Action::Run("ls\n".to_owned()), Some("x\n")),
            step(14, Action::Background("y\n".to_owned()), None),
        ]
    );
}
