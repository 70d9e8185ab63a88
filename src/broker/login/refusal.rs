//! Why a connection was not let in. The log has the reason, the peer is told no more than that it was refused.

/// A decision against a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Refusal {
    NoTls,
    NoCertificate,
    SignedToken,
    UnknownToken,
    UnknownUser,
    WrongPassword,
    NoLogin,
    ConnectionType,
    NoProvisioning,
    ProvisionerUnverified,
    ProvisionerPassword,
    SystemWithoutTls,
    SystemUnverified,
    SystemPassword,
    /// A live connection that would now be in another account.
    AccountChanged,
}

impl Refusal {
    /// The reason for the log.
    pub fn why(self) -> &'static str {
        match self {
            Refusal::NoTls => "no TLS",
            Refusal::NoCertificate => "no verified certificate",
            Refusal::SignedToken => "tokens are not supported",
            Refusal::UnknownToken => "unknown token",
            Refusal::UnknownUser => "unknown user",
            Refusal::WrongPassword => "wrong password",
            Refusal::NoLogin => "neither user nor token",
            Refusal::ConnectionType => "the user may not connect this way",
            Refusal::NoProvisioning => "provisioning is off",
            Refusal::ProvisionerUnverified => "a provisioner without a verified certificate",
            Refusal::ProvisionerPassword => "wrong password of the provisioner",
            Refusal::SystemWithoutTls => "the system user without TLS",
            Refusal::SystemUnverified => "the system user without a verified certificate",
            Refusal::SystemPassword => "wrong password of the system user",
            Refusal::AccountChanged => "the account of the user has changed",
        }
    }
}
