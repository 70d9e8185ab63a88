//! The sink against a broker in this process that stores what it is sent and fails as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::messages::Api;
use super::wire::{Reader, WireFault, Writer};
use super::*;

/// What the broker does with a Produce request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Answers with this error, and stores nothing.
    Code(i16),
    /// Stores, and closes the connection instead of an answer.
    StoreAndClose,
    /// Closes the connection.
    Close,
    /// Stores, and says that the replicas were late.
    StoreLate,
    /// Answers with bytes that mean nothing.
    Noise,
    /// Says nothing.
    Silence,
}

#[derive(Default)]
struct Store {
    acts: VecDeque<Act>,
    /// Bodies by topic and partition.
    records: BTreeMap<(String, i32), Vec<String>>,
    /// The next sequence by partition and producer.
    sequences: BTreeMap<(String, i32, i64), i32>,
    /// First sequences of the batches that came.
    batches: Vec<(i64, i32)>,
    producers: i64,
    /// Bytes of a batch that are taken.
    batch_bytes_max: usize,
}

/// A broker with the topic `nodes` of three partitions. Its threads end with the test process.
struct Fake {
    port: u16,
    store: Arc<Mutex<Store>>,
}

impl Fake {
    #[allow(clippy::disallowed_methods, reason = "a test server with few clients")]
    fn start(acts: &[Act]) -> Self {
        let listener = crate::sys::listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        listener.set_nonblocking(false).unwrap();
        let port = listener.local_addr().unwrap().port();
        let store = Store {
            acts: acts.iter().copied().collect(),
            batch_bytes_max: 1 << 20,
            ..Store::default()
        };
        let store = Arc::new(Mutex::new(store));
        let shared = store.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let store = shared.clone();
                std::thread::spawn(move || serve(socket, port, &store));
            }
        });
        Self { port, store }
    }

    fn sink(&self) -> KafkaSink {
        sink_to(vec![("127.0.0.1".to_owned(), self.port)])
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Every body that is stored, in order of its text.
    fn bodies(&self) -> Vec<String> {
        let mut all: Vec<String> = self.store().records.values().flatten().cloned().collect();
        all.sort();
        all
    }
}

fn sink_to(servers: Vec<(String, u16)>) -> KafkaSink {
    KafkaSink::new(Settings {
        servers,
        access: Access {
            tls: None,
            sasl: None,
            client_id: "test".to_owned(),
            timeout: Duration::from_secs(2),
        },
        topic: Template::parse("{collective}").unwrap(),
        key: Some(Template::parse("{sender}").unwrap()),
        partition: None,
        headers: vec![("requestid".into(), Template::parse("{request_id}").unwrap())],
        compression: Compression::None,
        create_topics: false,
        batch: BatchLimits { records_max: 100, bytes_max: 1 << 20, age_max: Duration::ZERO },
        batch_bytes_max: 900,
        refresh: Duration::from_secs(300),
    })
}

fn serve(mut socket: TcpStream, port: u16, store: &Mutex<Store>) -> Option<()> {
    loop {
        let mut length = [0; 4];
        socket.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        socket.read_exact(&mut frame).ok()?;
        let mut header = Reader::new(&frame, false);
        let (key, version) = (header.int16().unwrap(), header.int16().unwrap());
        let number = header.int32().unwrap();
        let client = header.text().unwrap().len();
        let api = [Api::Produce, Api::Metadata, Api::Versions, Api::InitProducerId]
            .into_iter()
            .find(|api| api.key() == key)
            .expect("a request that producers make");
        let is_flexible = api.is_flexible(version);
        let mut body = Reader::new(&frame[10 + client..], is_flexible);
        body.tags().unwrap();
        if api == Api::Produce && is_silent(store) {
            std::thread::sleep(Duration::from_secs(4));
            return None;
        }
        let answer = match api {
            Api::Versions => versions(),
            Api::Metadata => metadata(&mut body, port).unwrap(),
            Api::InitProducerId => {
                let mut out = Writer::new(true);
                let mut store = store.lock().unwrap();
                store.producers += 1;
                out.int32(0);
                out.int16(0);
                out.int32(0);
                out.int32(i32::try_from(store.producers).unwrap());
                out.int16(0);
                out.tags();
                out.into_bytes()
            }
            _ => produce(&mut body, &mut store.lock().unwrap())?,
        };
        let mut out = number.to_be_bytes().to_vec();
        if is_flexible && api != Api::Versions {
            out.push(0);
        }
        out.extend(answer);
        socket.write_all(&(out.len() as u32).to_be_bytes()).ok()?;
        socket.write_all(&out).ok()?;
    }
}

fn is_silent(store: &Mutex<Store>) -> bool {
    let acts = &mut store.lock().unwrap().acts;
    let is_silent = matches!(acts.front(), Some(Act::Silence));
    if is_silent {
        acts.pop_front();
    }
    is_silent
}

fn versions() -> Vec<u8> {
    let mut out = Writer::new(true);
    out.int16(0);
    out.array(&[(0, 3, 13), (3, 0, 13), (18, 0, 4), (22, 0, 5)], |out, (key, oldest, newest)| {
        out.int16(*key);
        out.int16(*oldest);
        out.int16(*newest);
        out.tags();
    });
    out.int32(0);
    out.tags();
    out.into_bytes()
}

fn metadata(body: &mut Reader<'_>, port: u16) -> Result<Vec<u8>, WireFault> {
    let asked = body.array(|topic| {
        let name = topic.text()?.to_owned();
        topic.tags()?;
        Ok(name)
    })?;
    let mut out = Writer::new(true);
    out.int32(0);
    out.array(&[1], |out, id| {
        out.int32(*id);
        out.text("127.0.0.1");
        out.int32(i32::from(port));
        out.null_text();
        out.tags();
    });
    out.null_text();
    out.int32(1);
    out.array(&asked, |out, name| {
        let is_there = name == "nodes";
        out.int16(if is_there { 0 } else { 3 });
        out.text(name);
        out.boolean(false);
        let partitions: &[i32] = if is_there { &[0, 1, 2] } else { &[] };
        out.array(partitions, |out, index| {
            out.int16(0);
            out.int32(*index);
            out.int32(1);
            out.int32(0);
            for _ in 0..3 {
                out.array(&[1], |out, node| out.int32(*node));
            }
            out.tags();
        });
        out.int32(0);
        out.tags();
    });
    out.int32(0);
    out.tags();
    Ok(out.into_bytes())
}

/// The answer; none to close the connection.
fn produce(body: &mut Reader<'_>, store: &mut Store) -> Option<Vec<u8>> {
    body.nullable_text().unwrap();
    assert_eq!(body.int16(), Ok(-1), "acks of all replicas");
    body.int32().unwrap();
    let topics = body.array(|topic| {
        let name = topic.text()?.to_owned();
        let partitions = topic.array(|partition| {
            let index = partition.int32()?;
            let batch = partition.bytes()?.to_vec();
            partition.tags()?;
            Ok((index, batch))
        })?;
        topic.tags()?;
        Ok((name, partitions))
    });
    let act = store.acts.pop_front();
    let mut answers = Vec::new();
    for (name, partitions) in topics.unwrap() {
        let of_topic: Vec<(i32, i16)> = partitions
            .into_iter()
            .map(|(index, batch)| {
                let code = match act {
                    Some(Act::Code(code)) => code,
                    Some(Act::Close) => -1,
                    Some(Act::StoreLate) => {
                        keep(store, &name, index, &batch);
                        7
                    }
                    _ => keep(store, &name, index, &batch),
                };
                (index, code)
            })
            .collect();
        answers.push((name, of_topic));
    }
    match act {
        Some(Act::Close | Act::StoreAndClose) => return None,
        Some(Act::Noise) => return Some(vec![0xff; 40]),
        _ => {}
    }
    let mut out = Writer::new(true);
    out.array(&answers, |out, (name, partitions)| {
        out.text(name);
        out.array(partitions, |out, (index, code)| {
            out.int32(*index);
            out.int16(*code);
            for _ in 0..6 {
                out.int32(0);
            }
            out.array(&[] as &[i32], |_, _| {});
            out.null_text();
            out.tags();
        });
        out.tags();
    });
    out.int32(0);
    out.tags();
    Some(out.into_bytes())
}

/// Stores a batch as Kafka does: in sequence, each once.
fn keep(store: &mut Store, topic: &str, partition: i32, batch: &[u8]) -> i16 {
    if batch.len() > store.batch_bytes_max {
        return 10;
    }
    let number = |from: usize| i32::from_be_bytes(batch[from..from + 4].try_into().unwrap());
    let producer = i64::from_be_bytes(batch[43..51].try_into().unwrap());
    let (sequence, count) = (number(53), number(57));
    store.batches.push((producer, sequence));
    let next = store.sequences.entry((topic.to_owned(), partition, producer)).or_insert(0);
    if sequence < *next {
        return 46;
    }
    if sequence > *next {
        return 45;
    }
    *next += count;
    let mut rest = &batch[61..];
    for _ in 0..count {
        let size = varint(&mut rest);
        let (mut record, after) = rest.split_at(size as usize);
        rest = after;
        record = &record[1..];
        varint(&mut record);
        varint(&mut record);
        let key = varint(&mut record);
        record = &record[key.max(0) as usize..];
        let size = varint(&mut record) as usize;
        let value = String::from_utf8(record[..size].to_vec()).unwrap();
        store.records.entry((topic.to_owned(), partition)).or_default().push(value);
    }
    0
}

fn varint(bytes: &mut &[u8]) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first < &0x80 {
            return (value >> 1) as i64 ^ -((value & 1) as i64);
        }
    }
}

fn records(count: usize) -> Vec<Record> {
    (0..count).map(|number| record(&format!("n{number}"), &format!("body {number:03}"))).collect()
}

fn record(sender: &str, body: &str) -> Record {
    Record {
        id: format!("r-{sender}"),
        sender: sender.to_owned(),
        agent: "registration".to_owned(),
        collective: "nodes".to_owned(),
        time: UNIX_EPOCH + Duration::from_millis(1234),
        request_id: "r".to_owned(),
        subject: "s".to_owned(),
        body: body.as_bytes().into(),
    }
}

/// Delivers as the engine does: what has no last word comes again. How often it was tried, and how many were refused.
fn deliver_all(sink: &mut KafkaSink, batch: &[Record]) -> (usize, usize) {
    let (mut waiting, mut refused) = (batch.to_vec(), 0);
    for attempt in 1..=20 {
        if let Ok(verdicts) = smol::block_on(sink.deliver(&waiting)) {
            assert_eq!(verdicts.len(), waiting.len());
            refused += verdicts.iter().filter(|v| matches!(v, Verdict::Refused(_))).count();
            let again = waiting.into_iter().zip(verdicts);
            waiting = again
                .filter(|(_, verdict)| matches!(verdict, Verdict::Retry(_)))
                .map(|(record, _)| record)
                .collect();
        }
        if waiting.is_empty() {
            return (attempt, refused);
        }
    }
    panic!("{} records are still waiting", waiting.len());
}

#[test]
fn whatever_fails_each_record_is_stored_once() {
    let batch = records(60);
    let expected: Vec<String> = (0..60).map(|number| format!("body {number:03}")).collect();
    for (acts, attempts) in [
        (&[][..], 1),
        (&[Act::Code(6)], 2),
        (&[Act::Code(7), Act::Code(19)], 3),
        (&[Act::StoreLate], 2),
        (&[Act::StoreAndClose], 2),
        (&[Act::Close, Act::StoreAndClose], 3),
        (&[Act::Noise], 2),
        (&[Act::Silence], 2),
        (&[Act::StoreAndClose, Act::Code(3), Act::StoreLate, Act::Close], 6),
    ] {
        let fake = Fake::start(acts);
        let (tried, refused) = deliver_all(&mut fake.sink(), &batch);
        assert_eq!(fake.bodies(), expected, "{acts:?}");
        assert!(tried <= attempts, "{acts:?}: {tried} attempts");
        assert_eq!(refused, 0);
        assert_eq!(fake.store().producers, 1, "{acts:?}");
    }
}

#[test]
fn a_connection_that_died_while_nothing_was_sent_costs_no_attempt() {
    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    assert_eq!(deliver_all(&mut sink, &records(10)), (1, 0));
    fake.store().acts.push_back(Act::Close);
    assert_eq!(deliver_all(&mut sink, &records(20)[10..]), (1, 0));
    assert_eq!(fake.bodies().len(), 20);
}

#[test]
fn a_sequence_that_the_broker_lost_takes_another_identity() {
    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    deliver_all(&mut sink, &records(10));
    fake.store().sequences.clear();
    let (tried, _) = deliver_all(&mut sink, &records(20)[10..]);
    assert_eq!((tried, fake.bodies().len(), fake.store().producers), (2, 20, 2));
}

#[test]
fn what_is_too_large_is_found_and_refused() {
    let fake = Fake::start(&[]);
    fake.store().batch_bytes_max = 300;
    let mut batch = records(12);
    batch.insert(7, record("large", &"x".repeat(400)));
    let (_, refused) = deliver_all(&mut fake.sink(), &batch);
    assert_eq!((refused, fake.bodies().len()), (1, 12));
}

#[test]
fn a_delivery_that_was_cancelled_loses_nothing() {
    let fake = Fake::start(&[Act::Silence]);
    let (mut sink, batch) = (fake.sink(), records(10));
    smol::block_on(async {
        use smol::future::FutureExt as _;
        let delivery = async { drop(sink.deliver(&batch).await) };
        let patience = async {
            async_io::Timer::after(Duration::from_millis(300)).await;
        };
        delivery.or(patience).await;
    });
    assert_eq!(deliver_all(&mut sink, &batch), (1, 0));
    assert_eq!(fake.bodies().len(), 10);
}

#[test]
fn records_go_where_their_key_or_template_says() {
    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    let batch = records(30);
    deliver_all(&mut sink, &batch);
    for ((_, partition), bodies) in &fake.store().records {
        for body in bodies {
            let sender = format!("n{}", body.trim_start_matches("body ").parse::<u32>().unwrap());
            assert_eq!(partition::of_key(sender.as_bytes(), 3), *partition as usize, "{sender}");
        }
    }
    assert_eq!(sink.place(&batch[0]).as_deref(), Ok("topic nodes key n0"));

    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    sink.settings.partition = Some(Template::parse("{agent}").unwrap());
    let verdict = |agent: &str, sink: &mut KafkaSink| {
        let record = Record { agent: agent.to_owned(), ..record("n", "x") };
        smol::block_on(sink.deliver(&[record])).unwrap().remove(0)
    };
    assert_eq!(verdict("2", &mut sink), Verdict::Delivered);
    for agent in ["3", "-1", "x", ""] {
        assert!(matches!(verdict(agent, &mut sink), Verdict::Refused(_)), "{agent}");
    }
    assert_eq!(fake.store().records.keys().map(|(_, p)| *p).collect::<Vec<_>>(), [2]);

    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    sink.settings.key = None;
    for record in records(6) {
        deliver_all(&mut sink, &[record]);
    }
    let sizes: Vec<usize> = fake.store().records.values().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 2], "in turn");
}

#[test]
fn topics_that_cannot_be_are_said() {
    let fake = Fake::start(&[]);
    let mut sink = fake.sink();
    let to = |topic: &str| Record { collective: topic.to_owned(), ..record("n", "x") };
    let batch = [to("nodes"), to("other"), to("a b"), to("")];
    let got = smol::block_on(sink.deliver(&batch)).unwrap();
    assert_eq!(got[0], Verdict::Delivered);
    assert!(matches!(&got[1], Verdict::Retry(text) if text.contains("does not exist: create it")));
    assert!(matches!(&got[2], Verdict::Refused(text) if text.contains("\"a b\" cannot be")));
    assert!(matches!(&got[3], Verdict::Refused(_)));
    let found = smol::block_on(sink.check(&to("nodes"))).unwrap();
    assert_eq!(found, "no TLS, 1 brokers, topic nodes has 3 partitions");
    let missing = smol::block_on(sink.check(&to("other"))).unwrap_err();
    assert!(missing.text.contains("does not exist"), "{missing}");
    assert_eq!(fake.store().producers, 1, "checks take no identity");
}

#[test]
fn one_of_several_brokers_is_enough() {
    let fake = Fake::start(&[]);
    // Nobody listens at port 1.
    let dead = ("127.0.0.1".to_owned(), 1);
    let mut sink = sink_to(vec![dead.clone(), ("127.0.0.1".to_owned(), fake.port)]);
    assert_eq!(deliver_all(&mut sink, &records(5)), (1, 0));
    let error = smol::block_on(sink_to(vec![dead]).deliver(&records(1))).unwrap_err();
    assert_eq!(error.text, "127.0.0.1:1: connection refused by 127.0.0.1:1");
}
