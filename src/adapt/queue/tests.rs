use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::*;
use crate::adapt::{DropRule, SpoolSettings};

fn records(numbers: std::ops::Range<usize>) -> Vec<Record> {
    numbers
        .map(|number| Record {
            id: number.to_string(),
            sender: "n1".to_owned(),
            agent: "a".to_owned(),
            collective: "c".to_owned(),
            time: UNIX_EPOCH,
            request_id: "r".to_owned(),
            subject: "s".to_owned(),
            body: vec![b'x'; 1000].into(),
        })
        .collect()
}

fn ids(batch: &Batch) -> Vec<usize> {
    batch.records.iter().map(|record| record.id.parse().expect("number")).collect()
}

const LIMITS: QueueLimits = QueueLimits { records_max: 10, bytes_max: 1024 * 1024 };
const BATCH: BatchLimits =
    BatchLimits { records_max: 4, bytes_max: 1024 * 1024, age_max: Duration::ZERO };

fn spooled(name: &str) -> (Queue, Arc<Counters>, PathBuf) {
    let folder = std::env::temp_dir().join(format!("choria-queue-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let (queue, counters) = reopened(&folder);
    (queue, counters, folder)
}

fn reopened(folder: &std::path::Path) -> (Queue, Arc<Counters>) {
    let settings =
        SpoolSettings { folder: folder.to_owned(), bytes_max: 1024 * 1024, rule: DropRule::Newest };
    let counters = Arc::new(Counters::default());
    let spool = Spool::open(settings).expect("opens");
    (Queue::new("t", LIMITS, Some(spool), counters.clone()), counters)
}

#[test]
fn without_a_spool_the_newest_go() {
    let counters = Arc::new(Counters::default());
    let queue = Queue::new("t", LIMITS, None, counters.clone());
    smol::block_on(async {
        queue.push(records(0..25)).await;
        assert_eq!(counters.dropped(Reason::QueueFull), 15);
        let batch = queue.take(BATCH).await.expect("a batch");
        assert_eq!(ids(&batch), [0, 1, 2, 3]);
        queue.done(batch).await;
        queue.push(records(25..27)).await;
        queue.close();
        assert_eq!(ids(&queue.take(BATCH).await.expect("a batch")), [4, 5, 6, 7]);
        assert_eq!(ids(&queue.take(BATCH).await.expect("a batch")), [8, 9, 25, 26]);
        assert!(queue.take(BATCH).await.is_none());
    });
}

#[test]
fn bytes_bound_memory_and_batches() {
    let limits = QueueLimits { records_max: 1000, bytes_max: 5000 };
    let counters = Arc::new(Counters::default());
    let queue = Queue::new("t", limits, None, counters.clone());
    smol::block_on(async {
        queue.push(records(0..10)).await;
        assert_eq!(counters.dropped(Reason::QueueFull), 7);
        let batch = BatchLimits { bytes_max: 2000, ..BATCH };
        assert_eq!(ids(&queue.take(batch).await.expect("a batch")), [0, 1]);
        let tiny = BatchLimits { bytes_max: 1, ..BATCH };
        assert_eq!(ids(&queue.take(tiny).await.expect("a batch")), [2]);
    });
}

#[test]
fn order_is_kept_over_memory_and_disk() {
    let (queue, counters, folder) = spooled("order");
    smol::block_on(async {
        queue.push(records(0..25)).await;
        assert_eq!(counters.spooled(), 15);
        let mut seen = Vec::new();
        for round in 0..3 {
            let batch = queue.take(BATCH).await.expect("a batch");
            seen.extend(ids(&batch));
            queue.done(batch).await;
            queue.push(records(25 + round..26 + round)).await;
        }
        while seen.len() < 28 {
            let batch = queue.take(BATCH).await.expect("a batch");
            seen.extend(ids(&batch));
            queue.done(batch).await;
        }
        assert_eq!(seen, (0..28).collect::<Vec<_>>());
        assert_eq!(counters.spooled(), 0);
        // Memory is used again.
        queue.push(records(28..30)).await;
        assert_eq!(counters.spooled(), 0);
    });
    drop(queue);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn what_fails_once_is_on_disk_and_survives() {
    let (queue, counters, folder) = spooled("spill");
    smol::block_on(async {
        queue.push(records(0..8)).await;
        let mut batch = queue.take(BATCH).await.expect("a batch");
        assert!(queue.spill(&mut batch).await);
        assert_eq!((ids(&batch), counters.spooled()), (vec![0, 1, 2, 3], 8));
        queue.push(records(8..9)).await;
        // Killed here, with a batch in hand.
    });
    drop(queue);
    let (queue, counters) = reopened(&folder);
    smol::block_on(async {
        assert_eq!(counters.spooled(), 9);
        let batch = queue.take(BATCH).await.expect("a batch");
        assert_eq!(ids(&batch), [0, 1, 2, 3]);
        queue.done(batch).await;
        assert_eq!(ids(&queue.take(BATCH).await.expect("a batch")), [4, 5, 6, 7]);
    });
    drop(queue);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn the_end_leaves_what_waits_on_disk() {
    let (queue, counters, folder) = spooled("end");
    smol::block_on(async {
        queue.push(records(0..15)).await;
        let batch = queue.take(BATCH).await.expect("a batch");
        queue.close();
        queue.finish(Some(batch)).await;
        assert_eq!(counters.dropped(Reason::Shutdown), 0);
    });
    drop(queue);
    let (queue, counters) = reopened(&folder);
    smol::block_on(async {
        assert_eq!(counters.spooled(), 15);
        assert_eq!(ids(&queue.take(BATCH).await.expect("a batch")), [0, 1, 2, 3]);
    });
    drop(queue);
    let _ = std::fs::remove_dir_all(folder);
    let counters = Arc::new(Counters::default());
    let queue = Queue::new("t", LIMITS, None, counters.clone());
    smol::block_on(async {
        queue.push(records(0..6)).await;
        let batch = queue.take(BATCH).await;
        queue.finish(batch).await;
        assert_eq!(counters.dropped(Reason::Shutdown), 6);
    });
}

#[test]
fn a_batch_waits_for_others_until_it_is_old() {
    let queue = Queue::new("t", LIMITS, None, Arc::default());
    let slow = BatchLimits { age_max: Duration::from_millis(50), ..BATCH };
    smol::block_on(async {
        queue.push(records(0..1)).await;
        let later = async {
            Timer::after(Duration::from_millis(5)).await;
            queue.push(records(1..2)).await;
            smol::future::pending().await
        };
        let started = Instant::now();
        let batch = queue.take(slow).or(later).await.expect("a batch");
        assert_eq!(ids(&batch), [0, 1]);
        assert!(started.elapsed() >= Duration::from_millis(49));
        queue.push(records(0..4)).await;
        let started = Instant::now();
        assert_eq!(queue.take(slow).await.expect("a batch").records.len(), 4);
        assert!(started.elapsed() < Duration::from_millis(49));
    });
}
