//! Key pairs for X25519 that are made while there is nothing else to do, for a time when everybody comes at once: a
//! twelfth of the work of a handshake. Each is used once, as if it had been made for that handshake.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring::kx_group;
use rustls::crypto::{ActiveKeyExchange, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup};

/// Key pairs that are kept at most, of some 200 bytes each.
const PAIRS_MAX: usize = 16 * 1024;

/// Those of this process.
static STOCK: Stock = Stock::new(PAIRS_MAX);

/// X25519 with the pairs that were made ahead.
pub(super) fn x25519() -> &'static dyn SupportedKxGroup {
    &STOCK
}

/// Makes a key pair ahead of the next TLS handshakes of a broker, if fewer are there than may be of use: as many as there
/// were handshakes up to now may come again at once. False when there are enough.
pub fn make_key_ahead() -> bool {
    STOCK.refill()
}

struct Stock {
    pairs_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    pairs: Vec<Box<dyn ActiveKeyExchange>>,
    /// How many there should be.
    wanted: usize,
}

impl Stock {
    const fn new(pairs_max: usize) -> Stock {
        Stock { pairs_max, shelf: Mutex::new(Shelf { pairs: Vec::new(), wanted: 0 }) }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refill(&self) -> bool {
        let is_enough = |shelf: &Shelf| shelf.pairs.len() >= shelf.wanted;
        if is_enough(&self.shelf()) {
            return false;
        }
        let Ok(pair) = kx_group::X25519.start() else { return false };
        let mut shelf = self.shelf();
        shelf.pairs.push(pair);
        !is_enough(&shelf)
    }
}

impl SupportedKxGroup for Stock {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let pair = {
            let mut shelf = self.shelf();
            shelf.wanted = (shelf.wanted + 1).min(self.pairs_max);
            shelf.pairs.pop()
        };
        pair.map_or_else(|| kx_group::X25519.start(), Ok)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock").field("pairs", &self.shelf().pairs.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pair_is_used_once_and_as_many_are_kept_as_were_wanted() {
        let stock = Stock::new(3);
        assert!(!stock.refill());
        let mut seen = HashSet::new();
        let mut use_some = |count: usize| {
            for _ in 0..count {
                let (ours, theirs) = (stock.start().unwrap(), kx_group::X25519.start().unwrap());
                assert!(seen.insert(ours.pub_key().to_vec()));
                let (one, other) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
                let ours = ours.complete(&other).unwrap();
                assert_eq!(ours.secret_bytes(), theirs.complete(&one).unwrap().secret_bytes());
            }
        };
        use_some(2);
        assert_eq!([stock.refill(), stock.refill(), stock.refill()], [true, false, false]);
        assert_eq!(stock.shelf().pairs.len(), 2);
        use_some(5);
        while stock.refill() {}
        assert_eq!(stock.shelf().pairs.len(), 3);
        use_some(4);
    }
}
