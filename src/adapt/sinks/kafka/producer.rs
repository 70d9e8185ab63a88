//! What a producer remembers for each partition: its identity, the next sequence, and batches whose fate is not known.
//!
//! A batch that was sent and not confirmed may be stored or not. It is kept as it was sent, and sent again before anything
//! else goes to its partition: the broker knows by identity and sequence whether it has it. The records of it stay with the
//! engine, which brings them again; they are recognised, and not sent a second time in another batch.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::batch::{self, BATCH_OVERHEAD_BYTES, Entry, Identity};
use super::codes::{Code, Meaning};
use super::compress::Compression;
use crate::adapt::{Record, Verdict};

/// More partitions than this are not remembered; those forgotten begin with another identity.
const PARTITIONS_MAX: usize = 20_000;
/// More bytes than this of batches with an unknown fate are given up: their records are sent anew and may be there twice.
const UNRESOLVED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// More verdicts than this on records that did not come again are forgotten: such a record may be there twice.
const SETTLED_MAX: usize = 200_000;
/// Records of one batch.
const BATCH_RECORDS_MAX: usize = 10_000;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// A batch as it is sent, however often.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    /// What its records take when they are not compressed.
    records_bytes: usize,
    members: Members,
}

/// The records of a batch.
#[derive(Debug)]
enum Members {
    /// Places in the delivery that is under way.
    Here(Vec<usize>),
    /// Fingerprints of records of an earlier delivery.
    Before(Vec<u64>),
}

impl Members {
    fn len(&self) -> usize {
        match self {
            Members::Here(places) => places.len(),
            Members::Before(prints) => prints.len(),
        }
    }
}

/// What became of a batch when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The broker has answered.
    Answered(Code, Option<String>),
    /// It was not sent, or its answer did not come, for this reason.
    Open(String),
}

#[derive(Debug)]
struct Partition {
    identity: Identity,
    next_sequence: i32,
    /// A sequence was used that the broker did not take: from here on only another identity can send.
    is_spoiled: bool,
    sealed: VecDeque<Sealed>,
    /// Less than the settings allow once the topic has refused that much.
    batch_bytes_max: usize,
    /// Less than usual after the broker found something unacceptable in a batch, until it is found.
    batch_records_max: usize,
}

/// The state of an idempotent producer.
#[derive(Debug)]
pub(super) struct Producer {
    compression: Compression,
    batch_bytes_max: usize,
    /// The identity that partitions take which have none.
    current: Option<Identity>,
    partitions: HashMap<Place, Partition>,
    /// Verdicts for records of earlier deliveries, by fingerprint.
    settled: HashMap<u64, Vec<Verdict>>,
    hasher: RandomState,
}

impl Producer {
    pub(super) fn new(compression: Compression, batch_bytes_max: usize) -> Self {
        Self {
            compression,
            batch_bytes_max,
            current: None,
            partitions: HashMap::new(),
            settled: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Forgets everything. Records whose fate is not known may be stored twice.
    pub(super) fn forget(&mut self) {
        self.current = None;
        self.partitions.clear();
        self.settled.clear();
    }

    /// Keeps what is remembered within bounds. Says whether something with an unknown fate was given up.
    pub(super) fn trim(&mut self) -> bool {
        if self.settled.len() > SETTLED_MAX {
            self.settled.clear();
        }
        if self.partitions.len() > PARTITIONS_MAX {
            self.partitions.retain(|_, partition| !partition.sealed.is_empty());
            self.current = None;
        }
        let batches = self.partitions.values().flat_map(|partition| &partition.sealed);
        let is_too_much =
            batches.map(|sealed| sealed.bytes.len()).sum::<usize>() > UNRESOLVED_BYTES_MAX;
        if is_too_much {
            self.forget();
        }
        is_too_much
    }

    /// Whether a batch to that partition has an unknown fate.
    pub(super) fn is_unresolved(&self, place: &Place) -> bool {
        self.partitions.get(place).is_some_and(|partition| !partition.sealed.is_empty())
    }

    /// The batches to send, by partition.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (&Place, &VecDeque<Sealed>)> {
        self.partitions
            .iter()
            .map(|(place, partition)| (place, &partition.sealed))
            .filter(|(_, sealed)| !sealed.is_empty())
    }

    /// Whether a new identity has to be asked for before anything can be sealed for that partition.
    pub(super) fn lacks_identity(&self, place: &Place) -> bool {
        match (self.partitions.get(place), self.current) {
            (_, None) => self.partitions.get(place).is_none_or(|partition| partition.is_spoiled),
            (Some(partition), Some(current)) => {
                partition.is_spoiled && partition.identity.id == current.id
            }
            (None, Some(_)) => false,
        }
    }

    /// The identity for partitions that have none or cannot use theirs any more.
    pub(super) fn adopt(&mut self, identity: Identity) {
        self.current = Some(identity);
    }

    /// Seals records into batches for one partition. Each comes with its place in the delivery.
    pub(super) fn seal(&mut self, place: &Place, records: Vec<(usize, Entry<'_>)>) {
        let Some(current) = self.current else { return };
        let batch_bytes_max = self.batch_bytes_max;
        let partition = self.partitions.entry(place.clone()).or_insert_with(|| Partition {
            identity: current,
            next_sequence: 0,
            is_spoiled: false,
            sealed: VecDeque::new(),
            batch_bytes_max,
            batch_records_max: BATCH_RECORDS_MAX,
        });
        if partition.is_spoiled {
            (partition.identity, partition.next_sequence) = (current, 0);
            partition.is_spoiled = false;
        }
        let (mut here, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (index, entry) in records {
            let size = entry.bytes_max();
            let is_full = BATCH_OVERHEAD_BYTES + bytes + size > partition.batch_bytes_max
                || here.len() >= partition.batch_records_max;
            if is_full && !here.is_empty() {
                let full = (std::mem::take(&mut here), std::mem::take(&mut entries));
                partition.push(full.0, &full.1, bytes, self.compression);
                bytes = 0;
            }
            here.push(index);
            entries.push(entry);
            bytes += size;
        }
        if !here.is_empty() {
            partition.push(here, &entries, bytes, self.compression);
        }
    }

    /// Takes in what became of the batches of a partition, in the order in which they were sealed.
    pub(super) fn apply(
        &mut self,
        place: &Place,
        outcomes: Vec<Outcome>,
        verdicts: &mut [Option<Verdict>],
    ) {
        let Some(partition) = self.partitions.get_mut(place) else { return };
        let sealed = std::mem::take(&mut partition.sealed);
        let mut outcomes = outcomes.into_iter();
        let open = || Outcome::Open("it was not sent".to_owned());
        for sealed in sealed {
            let outcome = outcomes.next().unwrap_or_else(open);
            match partition.judge(&sealed, outcome) {
                Fate::Final(verdict) => settle(&mut self.settled, verdicts, &sealed, verdict),
                Fate::Anew(reason) => put(verdicts, &sealed, &Verdict::Retry(reason)),
                Fate::Kept(reason) => {
                    put(verdicts, &sealed, &Verdict::Retry(reason));
                    partition.sealed.push_back(sealed);
                }
            }
        }
    }

    /// Finds records of this delivery that are in batches of earlier ones: those that were settled meanwhile have a verdict,
    /// the others wait on.
    pub(super) fn recognise(&mut self, batch: &[Record], verdicts: &mut [Option<Verdict>]) {
        let unresolved: HashSet<u64> = self
            .partitions
            .values()
            .flat_map(|partition| &partition.sealed)
            .filter_map(|sealed| match &sealed.members {
                Members::Before(prints) => Some(prints),
                Members::Here(_) => None,
            })
            .flatten()
            .copied()
            .collect();
        if unresolved.is_empty() && self.settled.is_empty() {
            return;
        }
        for (record, verdict) in batch.iter().zip(verdicts) {
            let print = print(&self.hasher, record);
            if let Some(known) = self.settled.get_mut(&print) {
                *verdict = known.pop();
                if known.is_empty() {
                    self.settled.remove(&print);
                }
            } else if unresolved.contains(&print) {
                let reason = "it was sent, and the broker has not confirmed it yet".to_owned();
                *verdict = Some(Verdict::Retry(reason));
            }
        }
    }

    /// Ends a delivery: what is unresolved is known by fingerprints from here on.
    pub(super) fn finish(&mut self, batch: &[Record]) {
        for partition in self.partitions.values_mut() {
            for sealed in &mut partition.sealed {
                if let Members::Here(places) = &sealed.members {
                    let records = places.iter().filter_map(|place| batch.get(*place));
                    let prints = records.map(|record| print(&self.hasher, record)).collect();
                    sealed.members = Members::Before(prints);
                }
            }
        }
    }
}

/// What is done with a batch that was sent.
enum Fate {
    /// There is a last word on its records.
    Final(Verdict),
    /// It is certainly not stored, and its records go into another batch.
    Anew(String),
    /// It is sent again as it is.
    Kept(String),
}

impl Partition {
    fn push(
        &mut self,
        here: Vec<usize>,
        entries: &[Entry<'_>],
        bytes: usize,
        compression: Compression,
    ) {
        let sequence = self.next_sequence;
        let sealed = batch::encode(entries, self.identity, sequence, compression);
        // After the highest number comes zero; a batch never has more records than a sequence can count.
        let next = i64::from(sequence) + entries.len() as i64;
        self.next_sequence = i32::try_from(next % (1 << 31)).unwrap_or(0);
        self.sealed.push_back(Sealed {
            bytes: sealed,
            records_bytes: bytes,
            members: Members::Here(here),
        });
    }

    fn judge(&mut self, sealed: &Sealed, outcome: Outcome) -> Fate {
        let (code, said) = match outcome {
            Outcome::Answered(code, said) => (code, said),
            // Behind a gap in the sequence nothing was stored.
            Outcome::Open(reason) if self.is_spoiled && self.sealed.is_empty() => {
                return Fate::Anew(reason);
            }
            Outcome::Open(reason) => return Fate::Kept(reason),
        };
        let reason = match said {
            Some(said) => format!("{code}: {said}"),
            None => code.to_string(),
        };
        let count = sealed.members.len();
        match code.meaning() {
            Meaning::Stored => {
                self.batch_records_max = (self.batch_records_max * 2).min(BATCH_RECORDS_MAX);
                Fate::Final(Verdict::Delivered)
            }
            Meaning::Passing if self.is_spoiled => Fate::Anew(reason),
            Meaning::Passing => Fate::Kept(reason),
            // One before it waits, so it is in order that the sequence is not.
            Meaning::Sequence if !self.sealed.is_empty() && !self.is_spoiled => Fate::Kept(reason),
            Meaning::Sequence => self.spoil(Fate::Anew(reason)),
            Meaning::TooLarge | Meaning::Unacceptable if count <= 1 => {
                self.spoil(Fate::Final(Verdict::Refused(reason)))
            }
            Meaning::TooLarge => {
                self.batch_bytes_max = (sealed.records_bytes / 2).max(1);
                self.spoil(Fate::Anew(reason))
            }
            Meaning::Unacceptable => {
                self.batch_records_max = (count / 2).max(1);
                self.spoil(Fate::Anew(reason))
            }
        }
    }

    fn spoil(&mut self, fate: Fate) -> Fate {
        self.is_spoiled = true;
        fate
    }
}

/// Gives the records of this delivery a verdict.
fn put(verdicts: &mut [Option<Verdict>], sealed: &Sealed, verdict: &Verdict) {
    if let Members::Here(places) = &sealed.members {
        for place in places {
            if let Some(slot) = verdicts.get_mut(*place) {
                *slot = Some(verdict.clone());
            }
        }
    }
}

/// Gives records a last word, those of earlier deliveries when they come again.
fn settle(
    settled: &mut HashMap<u64, Vec<Verdict>>,
    verdicts: &mut [Option<Verdict>],
    sealed: &Sealed,
    verdict: Verdict,
) {
    put(verdicts, sealed, &verdict);
    if let Members::Before(prints) = &sealed.members {
        for print in prints {
            settled.entry(*print).or_default().push(verdict.clone());
        }
    }
}

/// Two records with the same print are the same.
fn print(hasher: &RandomState, record: &Record) -> u64 {
    hasher.hash_one((&record.id, &record.subject, record.time, &record.body))
}

#[cfg(test)]
mod tests;
