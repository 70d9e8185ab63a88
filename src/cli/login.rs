//! `choria login`: a name and a password become a token.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::private::{self, Readers};
use crate::cli::prompt;
use crate::rpc::signing::{Account, Session};
use crate::settings::{self, Insecure};
use crate::util::secret::Secret;
use crate::util::time;

/// Log in at the AAA service of the network. The token and the seed of its key are stored where
/// the configuration says; until both are there the old ones stay. A program choria-login in PATH
/// is run in the place of this.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name}\n{command_name} --config ~/.choria/uk.conf")]
pub struct LogIn {}

/// The program that takes the place of this command.
const PROGRAM: &str = "choria-login";

impl Subcommand for LogIn {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if let Some(program) = find(PROGRAM) {
            return run_instead(&program);
        }
        let config = context.client_config()?;
        let env = context.environment();
        let insecure = Insecure::of(context.globals.switches(), &env);
        insecure.warn();
        let login = settings::login(&config, &env, insecure)?;
        let account = Account {
            username: prompt::text("Username", env.var("USER"))?,
            password: Secret::new(prompt::secret("Password")?),
        };
        let session = login.service.log_in(&account).await;
        let session = session.map_err(|error| Failure::new(error.to_string()))?;
        store(&session, &login.token, &login.seed)?;
        let until = session.expires.map_or_else(String::new, |end| {
            format!(", good until {}", time::rfc3339(time::from_unix(end)))
        });
        let path = std::path::absolute(&login.token).unwrap_or(login.token);
        writeln!(std::io::stdout(), "Token saved to {}{until}", path.display())?;
        Ok(Exit::Success)
    }
}

/// The seed first: a token without its seed is of no use, and a seed that belongs to no token yet does no harm.
fn store(session: &Session, token: &Path, seed: &Path) -> Result<(), Failure> {
    for file in [seed, token] {
        let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
            continue;
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            Failure::new(format!("cannot make the folder {}: {error}", folder.display()))
        })?;
    }
    private::write(seed, session.key.seed_hex().as_bytes(), Readers::Owner)?;
    private::write(token, session.token.expose().as_bytes(), Readers::Owner)
}

/// An executable file of this name in PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(file);
        metadata.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    })
}

/// Gives the program what was typed, and ends as it ends.
fn run_instead(program: &Path) -> Result<Exit, Failure> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let name = program.display();
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(Exit::Success),
        Ok(status) => Err(Failure::new(format!("{name} failed: {status}"))),
        Err(error) => Err(Failure::new(format!("cannot run {name}: {error}"))),
    }
}
