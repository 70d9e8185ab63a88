//! `choria tool completion` prints the script for a shell, and the hidden `choria tool complete` answers it.

use std::io::Write;
use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{COMMANDS, completion};

/// Print the script with which a shell completes commands, options and their values. It asks this program for what fits
/// at a place, so it need not be made again for another version.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "eval \"$({command_name} bash)\"\n{command_name} zsh > ~/.zfunc/_choria\n{command_name} fish > ~/.config/fish/completions/choria.fish"
)]
pub struct PrintScript {
    /// the shell
    #[argh(positional, arg_name = "bash|zsh|fish")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl FromStr for Shell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bash" => Ok(Self::Bash),
            "zsh" => Ok(Self::Zsh),
            "fish" => Ok(Self::Fish),
            _ => Err("there are scripts for bash, zsh and fish".to_owned()),
        }
    }
}

impl Subcommand for PrintScript {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let script = match self.shell {
            Shell::Bash => include_str!("../completion/choria.bash"),
            Shell::Zsh => include_str!("../completion/choria.zsh"),
            Shell::Fish => include_str!("../completion/choria.fish"),
        };
        std::io::stdout().write_all(script.as_bytes())?;
        Ok(Exit::Success)
    }
}

/// Print what may stand in the place of the last of these words, one a line with a tab and its description.
#[derive(FromArgs, ArgsInfo, Debug)]
pub struct Complete {
    /// what was typed behind the name of the program, up to the cursor
    #[argh(positional, greedy)]
    words: Vec<String>,
}

impl Subcommand for Complete {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let mut text = String::new();
        for candidate in completion::complete(COMMANDS, &words) {
            text.push_str(&candidate.to_line());
            text.push('\n');
        }
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(Exit::Success)
    }
}
