use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use super::*;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("choria-spool-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn open(&self, bytes_max: u64, rule: DropRule) -> Spool {
        let settings = SpoolSettings { folder: self.0.clone(), bytes_max, rule };
        Spool::open(settings).expect("opens")
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("folder");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
        paths.sort();
        paths
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MIB: u64 = 1024 * 1024;

fn record(number: usize, size: usize) -> Record {
    Record {
        id: number.to_string(),
        sender: "n1".to_owned(),
        agent: "a".to_owned(),
        collective: "c".to_owned(),
        time: UNIX_EPOCH,
        request_id: "r".to_owned(),
        subject: "s".to_owned(),
        body: vec![b'x'; size].into(),
    }
}

fn records(numbers: std::ops::Range<usize>, size: usize) -> Vec<Record> {
    numbers.map(|number| record(number, size)).collect()
}

fn ids(records: &[Record]) -> Vec<usize> {
    records.iter().map(|record| record.id.parse().expect("number")).collect()
}

/// Everything, in batches.
fn drain(spool: &mut Spool) -> Vec<usize> {
    let mut all = Vec::new();
    loop {
        let taken = spool.read(100, 50_000);
        if taken.records.is_empty() {
            return all;
        }
        all.extend(ids(&taken.records));
        spool.commit();
    }
}

#[test]
fn records_come_back_in_order_while_others_are_written() {
    let folder = Folder::new();
    let mut spool = folder.open(16 * MIB, DropRule::Newest);
    let mut seen = Vec::new();
    for round in 0..50 {
        spool.append(&records(round * 100..(round + 1) * 100, 1000));
        let taken = spool.read(70, MIB as usize);
        seen.extend(ids(&taken.records));
        spool.commit();
    }
    assert!(folder.segments().len() >= 2, "{:?}", folder.segments());
    seen.extend(drain(&mut spool));
    assert_eq!(seen, (0..5000).collect::<Vec<_>>());
    assert_eq!((spool.records(), spool.bytes(), folder.segments().len()), (0, 0, 0));
    spool.append(&records(0..1, 10));
    assert_eq!(drain(&mut spool), [0]);
}

#[test]
fn another_process_begins_where_the_first_stopped() {
    let folder = Folder::new();
    let mut spool = folder.open(16 * MIB, DropRule::Newest);
    spool.append(&records(0..3000, 1000));
    assert_eq!(spool.read(500, MIB as usize).records.len(), 500);
    spool.commit();
    // In hand, never confirmed.
    assert_eq!(ids(&spool.read(2, 10).records), [500]);
    drop(spool);
    let mut spool = folder.open(16 * MIB, DropRule::Newest);
    assert_eq!(spool.records(), 2500);
    spool.append(&records(3000..3010, 1000));
    assert_eq!(drain(&mut spool), (500..3010).collect::<Vec<_>>());
}

#[test]
fn a_folder_serves_one_process_only() {
    let folder = Folder::new();
    let _spool = folder.open(MIB, DropRule::Newest);
    let settings =
        SpoolSettings { folder: folder.0.clone(), bytes_max: MIB, rule: DropRule::Newest };
    let error = Spool::open(settings).expect_err("is in use");
    assert!(error.to_string().starts_with("another process uses the spool "), "{error}");
}

#[test]
fn a_file_cut_anywhere_keeps_what_is_whole() {
    let folder = Folder::new();
    let mut spool = folder.open(MIB, DropRule::Newest);
    spool.append(&records(0..5, 50));
    let length = spool.bytes();
    let one = (length - START_BYTES) / 5;
    drop(spool);
    let path = folder.segments().remove(0);
    let bytes = fs::read(&path).expect("can be read");
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("can be written");
        let whole = (cut as u64).saturating_sub(START_BYTES) / one;
        let mut spool = folder.open(MIB, DropRule::Newest);
        assert_eq!(spool.records(), whole, "{cut}");
        spool.append(&records(7..8, 50));
        let mut expected: Vec<_> = (0..whole as usize).collect();
        expected.push(7);
        assert_eq!(drain(&mut spool), expected, "{cut}");
        let _ = fs::remove_file(path.with_extension("unknown"));
    }
}

#[test]
fn a_flipped_bit_costs_what_stands_behind_it() {
    let folder = Folder::new();
    let mut spool = folder.open(MIB, DropRule::Newest);
    spool.append(&records(0..5, 50));
    let path = folder.segments().remove(0);
    let mut bytes = fs::read(&path).expect("can be read");
    let one = (bytes.len() - START_BYTES as usize) / 5;
    bytes[START_BYTES as usize + 2 * one + 30] ^= 1;
    fs::write(&path, &bytes).expect("can be written");
    let taken = spool.read(100, MIB as usize);
    assert_eq!((ids(&taken.records), taken.damaged), (vec![0, 1], 3));
    spool.commit();
    spool.append(&records(9..10, 50));
    assert_eq!(drain(&mut spool), [9]);
}

#[test]
fn a_full_spool_drops_by_its_rule_and_stays_within_its_limit() {
    for rule in [DropRule::Oldest, DropRule::Newest] {
        let folder = Folder::new();
        let mut spool = folder.open(MIB, rule);
        let (mut oldest, mut newest) = (0, 0);
        for round in 0..300 {
            let outcome = spool.append(&records(round * 10..(round + 1) * 10, 1000));
            oldest += outcome.oldest_dropped;
            newest += outcome.newest_dropped;
            assert!(outcome.unwritten.is_none() && spool.bytes() <= MIB);
        }
        let got = drain(&mut spool);
        assert_eq!(got.len() + oldest + newest, 3000, "{rule:?}");
        assert!(got.len() > 800, "{rule:?} {}", got.len());
        assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 1));
        match rule {
            DropRule::Oldest => assert_eq!((got.last(), newest), (Some(&2999), 0)),
            DropRule::Newest => assert_eq!((got.first(), oldest), (Some(&0), 0)),
        }
        let huge = spool.append(&records(0..1, 2 * MIB as usize));
        assert_eq!((huge.newest_dropped, huge.oldest_dropped), (1, 0));
    }
}

#[test]
fn what_is_in_hand_is_not_counted_as_dropped() {
    let folder = Folder::new();
    let mut spool = folder.open(MIB, DropRule::Oldest);
    spool.append(&records(0..10, 1000));
    assert_eq!(spool.read(10, MIB as usize).records.len(), 10);
    let mut dropped = 0;
    for round in 0..200 {
        dropped += spool.append(&records(10 + round * 10..20 + round * 10, 1000)).oldest_dropped;
    }
    // The first segment is gone; the ten of it in hand are with the sink.
    spool.commit();
    assert_eq!(drain(&mut spool).len() + dropped + 10, 2010);
}

#[test]
fn older_records_go_before_all_others() {
    let folder = Folder::new();
    let mut spool = folder.open(MIB, DropRule::Newest);
    spool.append(&records(20..30, 100));
    assert!(spool.prepend(&records(0..5, 100), &records(5..20, 100)).expect("is written"));
    assert_eq!(spool.records(), 30);
    // The first five are in hand.
    spool.commit();
    assert_eq!(spool.records(), 25);
    drop(spool);
    let mut spool = folder.open(MIB, DropRule::Newest);
    assert_eq!(drain(&mut spool), (5..30).collect::<Vec<_>>());
    assert!(spool.prepend(&[], &records(0..3, 10)).expect("is written"));
    spool.append(&records(3..5, 10));
    assert!(!spool.prepend(&records(0..1, 2 * MIB as usize), &[]).expect("has no room"));
    assert_eq!(drain(&mut spool), [0, 1, 2, 3, 4]);
}

#[test]
fn records_larger_than_a_batch_come_alone() {
    let folder = Folder::new();
    let mut spool = folder.open(64 * MIB, DropRule::Newest);
    spool.append(&[record(0, 300_000), record(1, 10), record(2, 9_000_000), record(3, 10)]);
    assert_eq!(drain(&mut spool), [0, 1, 2, 3]);
    spool.append(&[record(0, 300_000), record(1, 9_000_000), record(3, 10)]);
    drop(spool);
    assert_eq!(drain(&mut folder.open(64 * MIB, DropRule::Newest)), [0, 1, 3]);
}
