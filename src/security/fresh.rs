//! Certificate and key of a process that runs on when their files are replaced, whoever does that.

use std::sync::{Arc, Mutex, PoisonError};

use super::Settings;
use super::own::Own;
use super::provider::{Engine, Provider};
use super::setup::{SetupError, What};
use crate::crypto::x509::Certificate;
use crate::sys::Stamp;

/// The own certificate as it is used now.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) pem: String,
    pub(super) certificate: Certificate,
}

impl Shown {
    pub(super) fn of(own: &Own) -> Option<Arc<Shown>> {
        let (pem, certificate) = (own.certificate_pem.clone()?, own.certificate.clone()?);
        Some(Arc::new(Shown { pem, certificate }))
    }
}

/// The state of the files that was used, or tried, last.
#[derive(Debug)]
pub(super) struct Seen(Mutex<[Option<Stamp>; 2]>);

impl Seen {
    /// To be asked before the files are read: what changes meanwhile is a change.
    pub(super) fn now(settings: &Settings) -> Seen {
        Seen(Mutex::new(stamps(settings)))
    }
}

fn stamps(settings: &Settings) -> [Option<Stamp>; 2] {
    [What::Certificate, What::Key].map(|what| Stamp::of(what.path(settings)))
}

impl Provider {
    /// Uses the certificate and the key that are in their files now for new connections and new signatures; the
    /// authorities stay as they are. Reads files.
    ///
    /// # Errors
    /// What is wrong with the files; nothing is changed then.
    pub fn renew_certificate(&self) -> Result<(), SetupError> {
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.settings);
        let mut problems = Vec::new();
        let own = Own::read(&self.settings, &mut problems);
        if !problems.is_empty() {
            return Err(SetupError { problems });
        }
        let shown = Shown::of(&own);
        let (Some(current), Some(key)) = (&self.tls.key, own.tls_key) else { return Ok(()) };
        current.replace(key);
        if let Engine::Certificates(engine) = &self.engine {
            engine.renew(own.certificate_pem, own.key.as_deref());
        }
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// [`Provider::renew_certificate`] when one of the files has changed since it was read; tells whether it has. Files
    /// that do not fit each other may be in the middle of being replaced: they are read again once one has changed.
    ///
    /// # Errors
    /// As above, once for each change.
    pub fn renew_if_replaced(&self) -> Result<bool, SetupError> {
        let is_same = {
            let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            *seen == stamps(&self.settings)
        };
        if is_same || self.tls.key.is_none() {
            return Ok(false);
        }
        self.renew_certificate().map(|()| true)
    }
}
