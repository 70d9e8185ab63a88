use std::time::UNIX_EPOCH;

use super::*;

fn records(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| Record {
            id: format!("r{number}-n1"),
            sender: "n1".to_owned(),
            agent: String::new(),
            collective: String::new(),
            time: UNIX_EPOCH,
            request_id: format!("r{number}"),
            subject: "s".to_owned(),
            body: format!("body {number}").into_bytes().into(),
        })
        .collect()
}

fn entries(batch: &[Record]) -> Vec<(usize, Entry<'_>)> {
    batch
        .iter()
        .map(|record| Entry {
            key: None,
            value: &record.body,
            timestamp_ms: 0,
            headers: Vec::new(),
        })
        .enumerate()
        .collect()
}

fn place() -> Place {
    Place { topic: "t".to_owned(), partition: 0 }
}

fn producer(batch_bytes_max: usize) -> Producer {
    let mut producer = Producer::new(Compression::None, batch_bytes_max);
    assert!(producer.lacks_identity(&place()));
    producer.adopt(Identity { id: 1, epoch: 0 });
    producer
}

/// Producer id and first sequence of each sealed batch.
fn heads(producer: &Producer) -> Vec<(i64, i32)> {
    let read = |sealed: &Sealed| {
        let at = |from: usize, to: usize| &sealed.bytes[from..to];
        let id = i64::from_be_bytes(at(43, 51).try_into().unwrap());
        (id, i32::from_be_bytes(at(53, 57).try_into().unwrap()))
    };
    producer.sealed().flat_map(|(_, sealed)| sealed.iter().map(read)).collect()
}

fn answered(codes: &[i16]) -> Vec<Outcome> {
    codes.iter().map(|code| Outcome::Answered(Code(*code), None)).collect()
}

fn open() -> Outcome {
    Outcome::Open("lost".to_owned())
}

/// A letter a verdict: Delivered, Retry, reFused, nothing.
fn letters(verdicts: &[Option<Verdict>]) -> String {
    let letter = |verdict: &Option<Verdict>| match verdict {
        Some(Verdict::Delivered) => 'D',
        Some(Verdict::Retry(_)) => 'R',
        Some(Verdict::Refused(_)) => 'F',
        None => '-',
    };
    verdicts.iter().map(letter).collect()
}

/// Delivers with these outcomes, as the sink does, with room for one record a batch.
fn deliver(producer: &mut Producer, batch: &[Record], outcomes: Vec<Outcome>) -> String {
    let mut verdicts = vec![None; batch.len()];
    producer.seal(&place(), entries(batch));
    producer.apply(&place(), outcomes, &mut verdicts);
    producer.finish(batch);
    letters(&verdicts)
}

#[test]
fn sequences_go_on_from_batch_to_batch() {
    let batch = records(5);
    let mut producer = producer(200);
    producer.seal(&place(), entries(&batch));
    assert_eq!(heads(&producer), [(1, 0), (1, 3)]);
    let mut verdicts = vec![None; 5];
    producer.apply(&place(), answered(&[0, 46]), &mut verdicts);
    assert_eq!((letters(&verdicts).as_str(), heads(&producer).len()), ("DDDDD", 0));
    producer.seal(&place(), entries(&batch[..1]));
    assert_eq!(heads(&producer), [(1, 5)]);
}

#[test]
fn what_is_not_confirmed_is_sent_again_as_it_was() {
    let batch = records(3);
    let mut producer = producer(1);
    let got = deliver(&mut producer, &batch, vec![answered(&[0]).remove(0), open()]);
    assert_eq!(got, "DRR");
    assert!(producer.is_unresolved(&place()));
    assert_eq!(heads(&producer), [(1, 1), (1, 2)]);

    // The engine brings them again, while they are not resolved and after that.
    let again = &batch[1..];
    let mut verdicts = vec![None; 2];
    producer.apply(&place(), vec![open(), open()], &mut verdicts);
    producer.recognise(again, &mut verdicts);
    assert_eq!(letters(&verdicts), "RR");
    let mut verdicts = vec![None; 2];
    producer.apply(&place(), answered(&[46, 0]), &mut verdicts);
    producer.recognise(again, &mut verdicts);
    assert_eq!(letters(&verdicts), "DD");
    // Once only: a record that comes a third time is another.
    let mut verdicts = vec![None; 2];
    producer.recognise(again, &mut verdicts);
    assert_eq!(letters(&verdicts), "--");
    assert!(!producer.is_unresolved(&place()));
}

#[test]
fn each_outcome_has_its_consequence() {
    // Outcomes of three batches of one record, verdicts, batches that stay, whether the identity is spent.
    for (outcomes, verdicts, kept, is_spent) in [
        (answered(&[0, 0, 0]), "DDD", 0, false),
        // Another leader: those behind the first are out of order, and all are sent again.
        (answered(&[6, 45, 45]), "RRR", 3, false),
        (answered(&[7, 0, 0]), "RDD", 1, false),
        // The broker lost what was before.
        (answered(&[45, 45, 45]), "RRR", 0, true),
        (answered(&[0, 59]), "DRR", 0, true),
        (answered(&[10, 45, 45]), "FRR", 0, true),
        (answered(&[0, 87, 45]), "DFR", 0, true),
        (vec![open(), open()], "RRR", 3, false),
        (Vec::new(), "RRR", 3, false),
    ] {
        let mut producer = producer(1);
        let got = deliver(&mut producer, &records(3), outcomes.clone());
        assert_eq!(got, verdicts, "{outcomes:?}");
        assert_eq!(heads(&producer).len(), kept, "{outcomes:?}");
        assert_eq!(producer.lacks_identity(&place()), is_spent, "{outcomes:?}");
    }
}

#[test]
fn another_identity_begins_at_zero() {
    let batch = records(2);
    let mut producer = producer(1);
    deliver(&mut producer, &batch, answered(&[0, 45]));
    assert!(producer.lacks_identity(&place()));
    let other = Place { topic: "t".to_owned(), partition: 1 };
    assert!(!producer.lacks_identity(&other));
    producer.adopt(Identity { id: 2, epoch: 0 });
    producer.seal(&place(), entries(&batch[1..]));
    assert_eq!(heads(&producer), [(2, 0)]);
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_the_record_is_found() {
    let batch = records(8);
    let mut producer = producer(1_000_000);
    let mut sizes = Vec::new();
    for _ in 0..8 {
        if producer.lacks_identity(&place()) {
            producer.adopt(Identity { id: fastrand::i64(10..), epoch: 0 });
        }
        producer.seal(&place(), entries(&batch));
        let count = producer.sealed().map(|(_, sealed)| sealed.len()).sum::<usize>();
        sizes.push(count);
        let mut verdicts = vec![None; 8];
        producer.apply(&place(), vec![Outcome::Answered(Code(10), None); count], &mut verdicts);
        if letters(&verdicts).starts_with('F') {
            break;
        }
    }
    assert!(sizes.len() < 8 && sizes.first() == Some(&1) && sizes.last() == Some(&8), "{sizes:?}");
}

#[test]
fn sequences_start_again_after_the_highest() {
    let batch = records(2);
    let mut producer = producer(1);
    producer.seal(&place(), entries(&batch[..1]));
    if let Some(partition) = producer.partitions.get_mut(&place()) {
        partition.sealed.clear();
        partition.next_sequence = i32::MAX;
    }
    producer.seal(&place(), entries(&batch));
    assert_eq!(heads(&producer), [(1, i32::MAX), (1, 0)]);
}

#[test]
fn memory_is_bounded() {
    let mut producer = producer(1);
    let batch = records(1);
    for partition in 0..=PARTITIONS_MAX as i32 {
        let place = Place { topic: "t".to_owned(), partition };
        producer.seal(&place, entries(&batch));
        if partition > 0 {
            producer.apply(&place, answered(&[0]), &mut [None]);
        }
    }
    assert!(!producer.trim());
    assert_eq!(producer.partitions.len(), 1, "the one with an open batch");
    assert!(producer.lacks_identity(&Place { topic: "t".to_owned(), partition: 9 }));
    for partition in producer.partitions.values_mut() {
        partition.sealed[0].bytes = vec![0; UNRESOLVED_BYTES_MAX + 1];
    }
    assert!(producer.trim());
    assert_eq!(producer.partitions.len(), 0);
}
