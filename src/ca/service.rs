//! Answers those who want a certificate: bytes in, bytes out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::join::{self, Claims};
use super::journal::{By, Record};
use super::store::{Ca, Order};
use super::wire::{Answer, QUESTION_BYTES_MAX, Question};
use super::{Error, Profile, Refused};
use crate::crypto::csr::CertificateRequest;
use crate::crypto::{crl, hash};
use crate::protocol::Plain;
use crate::util::throttle::Throttle;
use crate::util::time;

/// Questions that may come at once.
const BURST: u32 = 50;
/// Time until one more may come.
const REFILL: Duration = Duration::from_millis(50);
/// The list of revoked certificates is made anew when it is this old.
const CRL_AGE: Duration = Duration::from_secs(86_400);
/// Bytes of a list of revoked certificates that comes along with a certificate.
const CRL_BYTES_MAX: usize = 512 * 1024;
/// The part of its life after which a certificate may be renewed.
const RENEW_AFTER: f64 = 0.5;

/// An authority that can be asked by those who have no access to its folder.
#[derive(Debug)]
pub struct Service {
    ca: Arc<Ca>,
    bucket: Mutex<Bucket>,
    log: Throttle,
}

/// How many more may ask.
#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
}

impl Service {
    /// Answers for this authority.
    pub fn new(ca: Arc<Ca>) -> Service {
        let bucket = Mutex::new(Bucket { left: BURST, filled: Instant::now() });
        Service { ca, bucket, log: Throttle::default() }
    }

    /// The authority.
    pub fn ca(&self) -> &Arc<Ca> {
        &self.ca
    }

    /// Answers a [`Question`] with a join token.
    pub fn enroll(&self, question: &[u8], now: SystemTime) -> Vec<u8> {
        self.answer("enrolment", question, |question| self.first(question, now))
    }

    /// Answers a [`Question`] without a token: the next certificate for the same name and key.
    pub fn renew(&self, question: &[u8], now: SystemTime) -> Vec<u8> {
        self.answer("renewal", question, |question| self.next(question, now))
    }

    /// Answers with the list of revoked certificates.
    pub fn crl(&self) -> Vec<u8> {
        let answer = match self.ca.crl() {
            Ok(crl) => Answer { crl, ca: self.ca.ca_pem().to_owned(), ..Answer::default() },
            Err(error) => self.refusal("revocation list", &error),
        };
        answer.encode()
    }

    /// Makes the list of revoked certificates anew when it gets old.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn refresh(&self, now: SystemTime) -> Result<(), Error> {
        let made = self.ca.crl().ok().and_then(|text| crl::read(&text).ok()?.pop());
        let age = made.and_then(|list| now.duration_since(list.this_update).ok());
        match age {
            Some(age) if age < CRL_AGE => self.ca.complete_crl(now),
            _ => self.ca.refresh_crl(now),
        }
    }

    fn answer(
        &self,
        what: &str,
        question: &[u8],
        work: impl FnOnce(&Question) -> Result<String, Error>,
    ) -> Vec<u8> {
        let result = self.take_turn().and_then(|()| work(&read(question)?));
        let answer = match result.and_then(|certificate| Ok((certificate, self.ca.crl()?))) {
            Ok((certificate, mut crl)) => {
                if crl.len() > CRL_BYTES_MAX {
                    // A message could not hold it; the certificate matters more.
                    crl.clear();
                }
                let ca = self.ca.ca_pem().to_owned();
                Answer { certificate, ca, crl, ..Answer::default() }
            }
            Err(error) => self.refusal(what, &error),
        };
        answer.encode()
    }

    /// What those are told who get nothing. What is wrong with our files is nothing to them.
    fn refusal(&self, what: &str, error: &Error) -> Answer {
        self.log.warn(format_args!("ca: refused {what} reason={}", Plain(&error.to_string())));
        let text = match error {
            Error::Refused(refused) => refused.to_string(),
            _ => Refused::Internal.to_string(),
        };
        Answer { error: text, ..Answer::default() }
    }

    fn take_turn(&self) -> Result<(), Error> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = bucket.filled.elapsed().as_millis() / REFILL.as_millis();
        if gained > 0 {
            bucket.left = BURST.min(bucket.left.saturating_add(gained as u32));
            bucket.filled = Instant::now();
        }
        bucket.left = bucket.left.checked_sub(1).ok_or(Refused::Busy)?;
        Ok(())
    }

    fn first(&self, question: &Question, now: SystemTime) -> Result<String, Error> {
        let claims = join::verify(&question.token, &self.ca.token_key(), now)
            .and_then(|claims| match claims.fingerprint == self.ca.fingerprint() {
                true => Ok(claims),
                false => Err(join::BadToken::OtherAuthority),
            })
            .map_err(|bad| Refused::Token(bad.to_string()))?;
        let request = request(question)?;
        let name = request.common_name().unwrap_or_default().to_owned();
        if !claims.allows(&name) {
            return Err(Refused::NotAllowed { name: name.chars().take(128).collect() }.into());
        }
        let mut turn = self.ca.turn()?;
        let key = hash::sha256_hex(request.public_key_der());
        let used: Vec<Record> = turn.state().of_token(&claims.id).cloned().collect();
        // Whoever did not get our answer asks again.
        let mut same = used.iter().filter(|it| it.name == name && it.key_sha256 == key);
        if let Some(record) = same.find(|record| record.is_valid(now)) {
            return self.ca.issued_pem(&record.serial);
        }
        if used.len() >= claims.uses as usize {
            return Err(Refused::UsedUp.into());
        }
        turn.issue(&order(&claims, name, &request), now)
    }

    fn next(&self, question: &Question, now: SystemTime) -> Result<String, Error> {
        let request = request(question)?;
        let name = request.common_name().unwrap_or_default().to_owned();
        let key = hash::sha256_hex(request.public_key_der());
        let mut turn = self.ca.turn()?;
        let is_last = |record: &&Record| record.name == name && record.key_sha256 == key;
        let last = turn.state().of_name(&name).rfind(is_last).cloned();
        let last = last.ok_or_else(|| Refused::Unknown(name.chars().take(128).collect()))?;
        if last.revoked.is_some() {
            return Err(Refused::Revoked(name).into());
        }
        if !last.is_valid(now) {
            return Err(Refused::Unknown(name).into());
        }
        let life = Duration::from_secs((last.not_after - last.not_before).max(0) as u64);
        let from = time::from_unix(last.not_before) + life.mul_f64(RENEW_AFTER);
        if now < from {
            return Err(Refused::TooEarly { from }.into());
        }
        let (addresses, names): (Vec<&String>, Vec<&String>) =
            last.alt_names.iter().partition(|name| name.parse::<std::net::IpAddr>().is_ok());
        let order = Order {
            name,
            profile: last.profile,
            alt_names: names.into_iter().cloned().collect(),
            ip_addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            public_key_info: request.public_key_der().to_vec(),
            life,
            // It had the name before.
            may_be_privileged: true,
            replaces: false,
            by: By::Renewal(last.serial),
        };
        turn.issue(&order, now)
    }
}

fn order(claims: &Claims, name: String, request: &CertificateRequest) -> Order {
    Order {
        name,
        profile: claims.profile,
        alt_names: match claims.profile {
            // What others connect to may have further names, each allowed by the token.
            Profile::Broker => {
                let names = request.dns_names().iter();
                names.filter(|name| claims.allows(name)).cloned().collect()
            }
            _ => Vec::new(),
        },
        ip_addresses: Vec::new(),
        public_key_info: request.public_key_der().to_vec(),
        life: Duration::from_secs(claims.life),
        may_be_privileged: claims.privileged,
        replaces: claims.replaces,
        by: By::Token(claims.id.clone()),
    }
}

fn read(question: &[u8]) -> Result<Question, Error> {
    let unreadable = || Refused::Request("the question cannot be read".to_owned());
    if question.len() > QUESTION_BYTES_MAX {
        return Err(unreadable().into());
    }
    Ok(serde_json::from_slice(question).map_err(|_| unreadable())?)
}

fn request(question: &Question) -> Result<CertificateRequest, Error> {
    let read = CertificateRequest::from_pem(question.csr.as_bytes());
    Ok(read.map_err(|error| Refused::Request(error.to_string()))?)
}
