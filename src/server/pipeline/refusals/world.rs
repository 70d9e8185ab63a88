//! The people, authorities and keys of the table, and what they send.

use std::fs;

use data_encoding::BASE64;

use super::*;
use crate::crypto::issue::{Authority, Issued, LeafRequest};
use crate::crypto::rsa::SigningKey;
use crate::protocol::Version;
use crate::protocol::v1::SecureRequest;
use crate::security::{Kind, Settings};

pub(super) const ALICE: &str = "alice.mcollective";
pub(super) const REPLY_TO: &str = "mcollective.reply.x.y";
const DAY: Duration = Duration::from_secs(86_400);

/// The time at which everything happens.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_366_991)
}

/// Made once: keys take time.
pub(super) struct World {
    pub(super) authority: Authority,
    pub(super) stranger: Authority,
    /// The RSA key that all ordinary certificates share, PEM.
    pub(super) key_pem: String,
    pub(super) key: SigningKey,
    /// Another RSA key, of which nobody has a certificate.
    pub(super) other_key: SigningKey,
    pub(super) alice: Issued,
    /// Verifies requests as a server does.
    pub(super) server: Arc<Provider>,
}

pub(super) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::new)
}

impl World {
    fn new() -> World {
        let pki = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v1/pki"));
        let pem = |name: &str| fs::read_to_string(pki.join(name)).unwrap();
        let key_pem = pem("alice.mcollective.key");
        let key = SigningKey::from_pem(key_pem.as_bytes()).unwrap();
        let other_key = SigningKey::from_pem(pem("node1.example.net.key").as_bytes()).unwrap();
        let authority = Authority::new_p256("The CA", now() - DAY).unwrap();
        let stranger = Authority::new_p256("Another CA", now() - DAY).unwrap();
        let issue = |name| {
            let request = LeafRequest::new(name, now() - DAY, 7 * DAY);
            authority.issue_for_key(&request, &key_pem).unwrap()
        };
        let (alice, node) = (issue(ALICE), issue("node1.example.net"));
        let server = server_trusting(&node, authority.ca_pem(), |_| ());
        World { authority, stranger, key_pem, key, other_key, alice, server }
    }

    /// The request that works: alice asks the agent `probe` to `run`.
    pub(super) fn request(&self) -> Request {
        let sender = "shell.example.net";
        let caller = format!("choria={ALICE}");
        let mut request = Request::new("probe", "mcollective", sender, &caller, now());
        let body = json!({"agent": "probe", "action": "run", "data": {"text": "hello"}});
        request.message = body.to_string().into_bytes();
        request
    }

    /// It in its envelopes, as alice signs it.
    pub(super) fn message(&self, request: &Request) -> Vec<u8> {
        wrap(&self.secure(request))
    }

    pub(super) fn secure(&self, request: &Request) -> SecureRequest {
        self.signed(request.encode().unwrap(), &self.alice.certificate_pem)
    }

    /// Any text with a good signature and these certificates.
    pub(super) fn signed(&self, message: String, pubcert: &str) -> SecureRequest {
        let signature = BASE64.encode(&self.key.sign_pkcs1_sha256(message.as_bytes()).unwrap());
        SecureRequest { message, signature, pubcert: pubcert.to_owned() }
    }
}

/// A provider that trusts the authorities of this PEM text.
pub(super) fn server_trusting(
    node: &Issued,
    ca_pem: &str,
    change: impl FnOnce(&mut Settings),
) -> Arc<Provider> {
    let folder = TempDir::new();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut settings = Settings::new(Kind::File, "node1.example.net");
    settings.certificate = write("node.pem", &node.certificate_pem);
    settings.key = write("node.key", &node.key_pem);
    settings.ca = write("ca.pem", ca_pem);
    change(&mut settings);
    Arc::new(Provider::open(settings).unwrap())
}

/// In a transport with a subject for the answer.
pub(super) fn wrap(secure: &SecureRequest) -> Vec<u8> {
    carry(&secure.encode().unwrap())
}

/// Any data in a transport that is otherwise fine.
pub(super) fn carry(data: &[u8]) -> Vec<u8> {
    let mut transport = Transport::new(Version::V1, data.to_vec(), "shell.example.net");
    transport.reply_to = Some(REPLY_TO.to_owned());
    transport.encode()
}
