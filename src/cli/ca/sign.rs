//! `choria ca sign`: issues a certificate at the authority itself.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use argh::{ArgsInfo, FromArgs};

use super::{FOLDER, failure, key_kind, length, open, profile, usual_key};
use crate::ca::files::{self, Shelf};
use crate::ca::{By, Ca, LIFE, Order, Profile, names};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::crypto::csr::CertificateRequest;
use crate::crypto::key::{KeyKind, PrivateKey};

/// Issue a certificate. With a certificate request (--csr) the key stays where it was made; without
/// one a key is made here and put beside the certificate, in the folders that Puppet uses.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --for broker --out /etc/choria/ssl broker.example.net\n{command_name} --out ~/.choria/ssl alice.mcollective\n{command_name} --csr n1.csr > n1.pem",
    note = "A key that is in its place already is used again, so that the same command renews a certificate."
)]
pub struct Sign {
    /// the folder of the authority, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// what it is for; told by the name when not given
    #[argh(option, long = "for", arg_name = "server|client|broker", from_str_fn(profile))]
    profile: Option<Profile>,
    /// a further name; can be repeated
    #[argh(option, arg_name = "name")]
    alt: Vec<String>,
    /// an address that a broker is connected to by; can be repeated
    #[argh(option, arg_name = "address")]
    ip: Vec<IpAddr>,
    /// how long it is valid, 365d by default
    #[argh(option, arg_name = "time", default = "LIFE", from_str_fn(length))]
    life: Duration,
    /// the kind of a new key; rsa for clients and p256 for others by default
    #[argh(option, arg_name = "rsa|p256|ed25519", from_str_fn(key_kind))]
    key: Option<KeyKind>,
    /// a certificate request in PEM form
    #[argh(option, arg_name = "file")]
    csr: Option<PathBuf>,
    /// the folder that gets certs/NAME.pem, private_keys/NAME.pem, certs/ca.pem and crl.pem
    #[argh(option, arg_name = "folder")]
    out: Option<PathBuf>,
    /// revoke another certificate that the name has
    #[argh(switch)]
    replace: bool,
    /// allow a name that may make requests in the name of anybody
    #[argh(switch)]
    privileged: bool,
    /// the name in the certificate; that of the request when not given
    #[argh(positional, arg_name = "name")]
    name: Option<String>,
}

impl Subcommand for Sign {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        smol::unblock(move || self.sign()).await
    }
}

impl Sign {
    fn sign(&self) -> Result<Exit, Failure> {
        let ca = open(&self.dir)?;
        match (&self.csr, &self.out) {
            (Some(csr), out) => self.sign_request(&ca, csr, out.as_deref()),
            (None, Some(out)) => self.sign_key(&ca, out),
            (None, None) => Err(Failure::new("a new key needs a place")
                .hint("--out FOLDER names it; --csr FILE signs a request instead")),
        }
    }

    fn sign_request(&self, ca: &Ca, path: &Path, out: Option<&Path>) -> Result<Exit, Failure> {
        let text = std::fs::read(path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        let request = CertificateRequest::from_pem(&text)
            .map_err(|error| Failure::new(format!("cannot use {}: {error}", path.display())))?;
        let name = self.name.as_deref().or(request.common_name()).unwrap_or_default();
        let order = self.order(name, request.public_key_der().to_vec());
        let pem = ca.issue(&order, SystemTime::now()).map_err(|error| failure(&error))?;
        match out {
            None => std::io::stdout().write_all(pem.as_bytes())?,
            Some(out) => {
                let shelf = Shelf::new(out);
                put(&shelf, ca, name, &pem)?;
                tell(&shelf, name)?;
            }
        }
        Ok(Exit::Success)
    }

    fn sign_key(&self, ca: &Ca, out: &Path) -> Result<Exit, Failure> {
        let name = self.name.as_deref().unwrap_or_default();
        let profile = self.profile_of(name);
        // Before a key is made that nobody can use.
        names::check(name, profile, self.privileged).map_err(|error| failure(&error.into()))?;
        let shelf = Shelf::new(out);
        let kind = self.key.unwrap_or(usual_key(profile));
        let key = shelf
            .key(name, || PrivateKey::generate(kind))
            .map_err(|error| Failure::new(error.to_string()))?;
        let order = self.order(name, key.public_key_info());
        let pem = ca.issue(&order, SystemTime::now()).map_err(|error| failure(&error))?;
        put(&shelf, ca, name, &pem)?;
        tell(&shelf, name)?;
        Ok(Exit::Success)
    }

    fn profile_of(&self, name: &str) -> Profile {
        self.profile.unwrap_or(match names::is_of_client(name) {
            true => Profile::Client,
            false => Profile::Server,
        })
    }

    fn order(&self, name: &str, public_key_info: Vec<u8>) -> Order {
        Order {
            name: name.to_owned(),
            profile: self.profile_of(name),
            alt_names: self.alt.clone(),
            ip_addresses: self.ip.clone(),
            public_key_info,
            life: self.life,
            may_be_privileged: self.privileged,
            replaces: self.replace,
            by: By::Sign,
        }
    }
}

fn put(shelf: &Shelf, ca: &Ca, name: &str, pem: &str) -> Result<(), Failure> {
    let crl = ca.crl().map_err(|error| failure(&error))?;
    shelf.put(name, pem, ca.ca_pem(), &crl).map_err(|files::Unwritten { path, source }| {
        Failure::new(format!("cannot write {}: {source}", path.display()))
    })
}

fn tell(shelf: &Shelf, name: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "The certificate is {}", shelf.certificate_path(name).display())?;
    writeln!(out, "The key is {}", shelf.key_path(name).display())?;
    Ok(())
}
