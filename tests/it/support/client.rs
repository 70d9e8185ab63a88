//! One-shot commands such as `choria rpc`.

use std::path::PathBuf;
use std::process::Command;

use super::daemon::choria;
use super::{Finished, Folder, Leaf, Pki, run};

/// A client configuration: who asks, and through which broker.
pub struct Client {
    config: PathBuf,
    certname: String,
}

impl Client {
    /// `alice.mcollective`, trusted by every server.
    pub fn alice(folder: &Folder, port: u16) -> Client {
        let leaf = Pki::shared().leaf("alice.mcollective");
        Client::new(folder, port, "alice.mcollective", Pki::shared(), &leaf)
    }

    /// A client called `certname` that shows `leaf` and trusts `pki`.
    pub fn new(folder: &Folder, port: u16, certname: &str, pki: &Pki, leaf: &Leaf) -> Client {
        let config = folder.write(
            &format!("{certname}-client.conf"),
            &format!(
                "identity = {certname}\nplugin.choria.use_srv = false\nplugin.choria.middleware_hosts = localhost:{port}\n\
                 loglevel = warn\n{}",
                pki.security_lines(leaf)
            ),
        );
        Client { config, certname: certname.to_owned() }
    }

    /// A client that proves itself as these configuration lines say.
    pub fn with_lines(folder: &Folder, port: u16, name: &str, lines: &str) -> Client {
        let config = folder.write(
            &format!("{name}-client.conf"),
            &format!(
                "identity = shell.example.net\nplugin.choria.use_srv = false\n\
                 plugin.choria.middleware_hosts = localhost:{port}\nloglevel = warn\n{lines}"
            ),
        );
        Client { config, certname: name.to_owned() }
    }

    /// Runs `choria ARGS --config …` to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        run(self.command(args), "")
    }

    /// The same with `input` on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Finished {
        run(self.command(args), input)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = choria();
        command
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .env("MCOLLECTIVE_CERTNAME", &self.certname);
        command
    }
}
