//! `choria enroll`: gets a certificate from an authority.

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::join::{self, key_kind};
use crate::crypto::key::KeyKind;

/// Get a certificate with a join token, through a running broker. The private key is made here and
/// stays here.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --token TOKEN\n{command_name} --token - --certname web1.example.net < token"
)]
pub struct Enroll {
    /// the join token, or - for standard input
    #[argh(option, arg_name = "token")]
    token: String,
    /// the name in the certificate; told by the token or this computer when not given
    #[argh(option, arg_name = "name")]
    certname: Option<String>,
    /// the folder that gets certs and private_keys; /etc/choria/ssl for root by default
    #[argh(option, arg_name = "folder")]
    ssldir: Option<PathBuf>,
    /// the kind of a new key: rsa, p256 or ed25519; rsa for clients and p256 for others by default
    #[argh(option, arg_name = "kind", from_str_fn(key_kind))]
    key: Option<KeyKind>,
    /// write a configuration with what the token says; the file must not exist
    #[argh(option, arg_name = "file")]
    write_config: Option<PathBuf>,
}

impl Subcommand for Enroll {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let wish = join::Wish {
            token: self.token,
            certname: self.certname,
            folder: self.ssldir,
            key: self.key,
            config: self.write_config,
        };
        join::run(wish, context).await
    }
}
