//! What waits for the sink: in memory first, then on disk.
//!
//! One task puts records in, another takes batches out. Memory holds the oldest records; as soon as it is full, or the
//! first delivery fails, what follows goes to the spool, until the spool is empty again. So the order is kept, and while a
//! sink does not take anything all that waits is on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future::FutureExt as _;

use super::counters::{Counters, Reason};
use super::spool::{Appended, Spool};
use super::{BatchLimits, Record};
use crate::util::throttle::Throttle;

/// How much waits in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Records; at least 1.
    pub records_max: usize,
    /// Bytes of them.
    pub bytes_max: usize,
}

/// Pause after a spool could not be written.
const FAULT_PAUSE: Duration = Duration::from_millis(200);

/// The queue of one adapter.
#[derive(Debug)]
pub struct Queue {
    limits: QueueLimits,
    /// May be locked while the spool is, never the other way round.
    memory: Arc<Mutex<Memory>>,
    spool: Option<Arc<Mutex<Spool>>>,
    /// Says that something has come, or that nothing will come any more.
    came: (flume::Sender<()>, flume::Receiver<()>),
    counters: Arc<Counters>,
    log: Throttle,
    name: String,
}

#[derive(Debug, Default)]
struct Memory {
    records: VecDeque<Record>,
    bytes: usize,
    /// Records on disk that were not delivered.
    spooled: u64,
    /// What waits in memory is being written to disk, and what comes goes there too.
    is_spilling: bool,
    is_closed: bool,
}

/// Records that were taken out.
#[derive(Debug)]
pub struct Batch {
    /// Oldest first; never empty.
    pub records: Vec<Record>,
    /// They are on disk until [`Queue::done`].
    pub is_on_disk: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// A queue of an adapter of this name, with what is in the spool.
    pub fn new(
        name: &str,
        limits: QueueLimits,
        spool: Option<Spool>,
        counters: Arc<Counters>,
    ) -> Queue {
        let spooled = spool.as_ref().map_or(0, Spool::records);
        counters.spool(spooled, spool.as_ref().map_or(0, Spool::bytes));
        counters.queue(0, limits.records_max);
        Queue {
            limits,
            memory: Arc::new(Mutex::new(Memory { spooled, ..Memory::default() })),
            spool: spool.map(|spool| Arc::new(Mutex::new(spool))),
            came: flume::bounded(1),
            counters,
            log: Throttle::default(),
            name: name.to_owned(),
        }
    }

    /// Does work on the spool, where it may block, and takes note of what is in it then. Nothing without a spool.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let spool = self.spool.clone()?;
        let (memory, counters) = (self.memory.clone(), self.counters.clone());
        let done = smol::unblock(move || {
            let mut spool = lock(&spool);
            let done = work(&mut spool);
            // Still under its lock: what both tasks note has the order in which it happened.
            lock(&memory).spooled = spool.records();
            counters.spool(spool.records(), spool.bytes());
            done
        });
        Some(done.await)
    }

    /// Puts records in. What finds no room is dropped by the rule of the spool, or the newest without one.
    pub async fn push(&self, records: Vec<Record>) {
        let rest = self.push_memory(records);
        if rest.is_empty() {
            return self.signal();
        }
        let count = rest.len();
        match self.on_disk(move |spool| spool.append(&rest)).await {
            Some(outcome) => {
                self.signal();
                self.report(outcome).await;
            }
            None => {
                let why = "the queue is full and there is no spool";
                self.give_up(Reason::QueueFull, count, why);
            }
        }
    }

    async fn report(&self, outcome: Appended) {
        let full = Reason::SpoolFull;
        if outcome.newest_dropped > 0 {
            self.give_up(full, outcome.newest_dropped, "the spool is full, the newest go");
        }
        if outcome.oldest_dropped > 0 {
            self.give_up(full, outcome.oldest_dropped, "the spool is full, the oldest go");
        }
        if let Some((count, error)) = outcome.unwritten {
            self.give_up(Reason::SpoolFault, count, &error.to_string());
            // A disk that is full is not asked a thousand times a second.
            Timer::after(FAULT_PAUSE).await;
        }
    }

    /// Puts in what memory has room for; gives back the rest.
    fn push_memory(&self, records: Vec<Record>) -> Vec<Record> {
        let mut memory = lock(&self.memory);
        if memory.spooled > 0 || memory.is_spilling {
            return records;
        }
        let mut records = records.into_iter();
        while let Some(record) = records.as_slice().first() {
            let weight = record.weight();
            // The first one always fits, however large it is.
            let is_full = memory.records.len() >= self.limits.records_max
                || (memory.bytes > 0 && memory.bytes + weight > self.limits.bytes_max);
            if is_full {
                break;
            }
            memory.bytes += weight;
            memory.records.extend(records.next());
        }
        self.counters.queue(memory.records.len(), self.limits.records_max);
        records.collect()
    }

    /// Counts and says that records are lost.
    pub fn give_up(&self, reason: Reason, count: usize, why: &str) {
        self.counters.lose(reason, count);
        let (name, reason) = (&self.name, reason.name());
        self.log.warn(format_args!(
            "adapt: messages dropped adapter={name} count={count} reason={reason} err={why}"
        ));
    }

    /// No more records will be put in.
    pub fn close(&self) {
        lock(&self.memory).is_closed = true;
        self.signal();
    }

    fn signal(&self) {
        // When nobody waits one signal is kept, which is enough.
        let _ = self.came.0.try_send(());
    }

    /// The next batch, as soon as one of the limits is reached. Nothing when the queue is closed and memory is empty: what is
    /// on disk then waits for the next process.
    pub async fn take(&self, limits: BatchLimits) -> Option<Batch> {
        loop {
            match self.look(limits) {
                Look::Empty => {
                    let _ = self.came.1.recv_async().await;
                }
                Look::Ended => return None,
                Look::OnDisk => match self.read(limits).await {
                    Some(batch) => return Some(batch),
                    None => continue,
                },
                Look::Full => break,
                Look::Some => {
                    self.gather(limits).await;
                    break;
                }
            }
        }
        Some(self.pop(limits))
    }

    /// Waits for a batch to fill, or to be old enough.
    async fn gather(&self, limits: BatchLimits) {
        let deadline = Instant::now() + limits.age_max;
        while !limits.age_max.is_zero()
            && matches!(self.look(limits), Look::Some)
            && !lock(&self.memory).is_closed
        {
            let came = async {
                let _ = self.came.1.recv_async().await;
                true
            };
            let is_late = async {
                Timer::at(deadline).await;
                false
            };
            if !came.or(is_late).await {
                return;
            }
        }
    }

    fn look(&self, limits: BatchLimits) -> Look {
        let memory = lock(&self.memory);
        match memory.records.len() {
            0 if memory.is_closed => Look::Ended,
            0 if memory.spooled > 0 => Look::OnDisk,
            0 => Look::Empty,
            count if count >= limits.records_max || memory.bytes >= limits.bytes_max => Look::Full,
            // More than memory holds goes to disk and would never make the batch full.
            count if count >= self.limits.records_max || memory.spooled > 0 => Look::Full,
            _ => Look::Some,
        }
    }

    fn pop(&self, limits: BatchLimits) -> Batch {
        let mut memory = lock(&self.memory);
        let mut records = Vec::with_capacity(memory.records.len().min(limits.records_max));
        let mut bytes = 0;
        while let Some(first) = memory.records.front() {
            bytes += first.body.len();
            let is_full = records.len() >= limits.records_max || bytes > limits.bytes_max;
            if is_full && !records.is_empty() {
                break;
            }
            let weight = first.weight();
            memory.bytes = memory.bytes.saturating_sub(weight);
            records.extend(memory.records.pop_front());
        }
        self.counters.queue(memory.records.len(), self.limits.records_max);
        Batch { records, is_on_disk: false }
    }

    async fn read(&self, limits: BatchLimits) -> Option<Batch> {
        let read = move |spool: &mut Spool| spool.read(limits.records_max, limits.bytes_max);
        let taken = self.on_disk(read).await?;
        if taken.damaged > 0 {
            self.give_up(Reason::SpoolFault, taken.damaged, "the spool is damaged");
        }
        (!taken.records.is_empty()).then_some(Batch { records: taken.records, is_on_disk: true })
    }

    /// The batch was delivered, or given up.
    pub async fn done(&self, batch: Batch) {
        if batch.is_on_disk {
            self.on_disk(Spool::commit).await;
        }
    }

    /// Writes a batch that was not delivered, and all that waits behind it in memory, to disk. Says whether it is there.
    pub async fn spill(&self, batch: &mut Batch) -> bool {
        if batch.is_on_disk || self.spool.is_none() {
            return batch.is_on_disk;
        }
        let behind: Vec<Record> = {
            let mut memory = lock(&self.memory);
            memory.is_spilling = true;
            memory.bytes = 0;
            memory.records.drain(..).collect()
        };
        let in_hand = std::mem::take(&mut batch.records);
        let prepend = move |spool: &mut Spool| {
            let written = spool.prepend(&in_hand, &behind);
            (written, in_hand, behind)
        };
        let Some((written, in_hand, behind)) = self.on_disk(prepend).await else { return false };
        batch.records = in_hand;
        batch.is_on_disk = matches!(written, Ok(true));
        let mut memory = lock(&self.memory);
        memory.is_spilling = false;
        if !batch.is_on_disk {
            // There they were, and nothing else came meanwhile.
            memory.bytes = behind.iter().map(Record::weight).sum();
            memory.records = behind.into();
        }
        self.counters.queue(memory.records.len(), self.limits.records_max);
        drop(memory);
        if let Err(error) = written {
            let name = &self.name;
            self.log
                .warn(format_args!("adapt: cannot write to the spool adapter={name} err={error}"));
        }
        batch.is_on_disk
    }

    /// At the end: what waits in memory goes to disk, or is given up where that cannot be.
    pub async fn finish(&self, in_hand: Option<Batch>) {
        let mut batch = in_hand.unwrap_or(Batch { records: Vec::new(), is_on_disk: false });
        if !batch.is_on_disk && self.spill(&mut batch).await {
            batch.records.clear();
        }
        let left = if batch.is_on_disk { 0 } else { batch.records.len() };
        let left = left + lock(&self.memory).records.len();
        if left > 0 {
            self.give_up(Reason::Shutdown, left, "the adapter ends");
        }
        self.on_disk(Spool::sync).await;
    }
}

enum Look {
    /// Nothing waits.
    Empty,
    /// Nothing waits in memory, and nothing will come.
    Ended,
    /// All that waits is on disk.
    OnDisk,
    /// Something waits.
    Some,
    /// A whole batch waits.
    Full,
}

#[cfg(test)]
mod tests;
