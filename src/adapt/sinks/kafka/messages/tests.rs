use super::*;

/// Every response in every version, as a broker sends it.
fn responses() -> Vec<(Api, i16, Vec<u8>)> {
    let mut all = Vec::new();
    for version in 0..=3 {
        let mut body = Writer::new(Api::Versions.is_flexible(version));
        body.int16(0);
        body.array(&[(0, 3, 11), (3, 0, 13)], |body, (key, oldest, newest)| {
            body.int16(*key);
            body.int16(*oldest);
            body.int16(*newest);
            body.tags();
        });
        body.int32(0);
        body.tags();
        all.push((Api::Versions, version, body.into_bytes()));
    }
    for version in 5..=9 {
        all.push((Api::Metadata, version, metadata(version)));
    }
    for version in 7..=9 {
        all.push((Api::Produce, version, produce(version)));
    }
    for version in 1..=2 {
        let mut body = Writer::new(Api::InitProducerId.is_flexible(version));
        body.int32(0);
        body.int16(0);
        body.int32(0);
        body.int32(4711);
        body.int16(3);
        body.tags();
        all.push((Api::InitProducerId, version, body.into_bytes()));
    }
    for version in 0..=2 {
        let mut body = Writer::new(Api::SaslAuthenticate.is_flexible(version));
        body.int16(58);
        body.text("no");
        body.bytes(b"r=x");
        if version >= 1 {
            body.int32(0);
            body.int32(3_600_000);
        }
        body.tags();
        all.push((Api::SaslAuthenticate, version, body.into_bytes()));
    }
    let mut body = Writer::new(false);
    body.int16(33);
    body.array(&["PLAIN", "SCRAM-SHA-256"], |body, name| body.text(name));
    all.push((Api::SaslHandshake, 1, body.into_bytes()));
    all
}

fn metadata(version: i16) -> Vec<u8> {
    let mut body = Writer::new(Api::Metadata.is_flexible(version));
    body.int32(0);
    body.array(&[1, 2], |body, id| {
        body.int32(*id);
        body.text("broker.example.net");
        body.int32(9092);
        body.null_text();
        body.tags();
    });
    body.text("cluster");
    body.int32(1);
    body.array(&["a", "b"], |body, name| {
        body.int16(if *name == "b" { 3 } else { 0 });
        body.text(name);
        body.boolean(false);
        body.array(&[(0, 2), (1, -1)], |body, (index, leader)| {
            body.int16(0);
            body.int32(*index);
            body.int32(*leader);
            if version >= 7 {
                body.int32(5);
            }
            for _ in 0..3 {
                body.array(&[1, 2], |body, node| body.int32(*node));
            }
            body.tags();
        });
        if version >= 8 {
            body.int32(i32::MIN);
        }
        body.tags();
    });
    if version >= 8 {
        body.int32(i32::MIN);
    }
    body.tags();
    body.into_bytes()
}

fn produce(version: i16) -> Vec<u8> {
    let mut body = Writer::new(Api::Produce.is_flexible(version));
    body.array(&["a"], |body, name| {
        body.text(name);
        body.array(&[(0, 0), (1, 87)], |body, (index, code)| {
            body.int32(*index);
            body.int16(*code);
            for _ in 0..6 {
                body.int32(1);
            }
            if version >= 8 {
                body.array(&[0], |body, index| {
                    body.int32(*index);
                    body.text("bad record");
                    body.tags();
                });
                body.null_text();
            }
            body.tags();
        });
        body.tags();
    });
    body.int32(0);
    body.tags();
    body.into_bytes()
}

/// Reads a response as its API says; the text shows what was read.
fn read(api: Api, version: i16, body: &[u8]) -> Result<String, WireFault> {
    let body = &mut Reader::new(body, api.is_flexible(version));
    Ok(match api {
        Api::Versions => format!("{:?}", versions_response(body)?),
        Api::Metadata => format!("{:?}", metadata_response(version, body)?),
        Api::Produce => format!("{:?}", produce_response(version, body)?),
        Api::InitProducerId => format!("{:?}", producer_response(body)?),
        Api::SaslHandshake => format!("{:?}", handshake_response(body)?),
        Api::SaslAuthenticate => format!("{:?}", authenticate_response(version, body)?),
    })
}

#[test]
fn responses_are_read_in_every_version() {
    for (api, version, body) in responses() {
        let (oldest, newest) = api.versions();
        assert!((oldest..=newest).contains(&version) || api == Api::Versions);
        let got =
            read(api, version, &body).unwrap_or_else(|fault| panic!("{api:?} {version}: {fault}"));
        let expected: &[&str] = match api {
            Api::Versions => &["key: 3, oldest: 0, newest: 13"],
            Api::Metadata => {
                &["broker.example.net", "code: Code(3), name: \"b\"", "index: 1, leader: -1"]
            }
            Api::Produce if version >= 8 => {
                &["partition: 1, code: Code(87), message: Some(\"bad record\")"]
            }
            Api::Produce => &["partition: 1, code: Code(87), message: None"],
            Api::InitProducerId => &["4711, 3"],
            Api::SaslHandshake => &["\"PLAIN\", \"SCRAM-SHA-256\""],
            Api::SaslAuthenticate => &["Code(58)", "Some(\"no\")"],
        };
        for part in expected {
            assert!(got.contains(part), "{api:?} {version}: {got}");
        }
    }
}

#[test]
fn a_response_that_ends_early_is_a_fault_wherever_it_ends() {
    for (api, version, body) in responses() {
        // Behind the last value that is read there may be some that are not.
        let needed = (0..=body.len())
            .find(|end| read(api, version, &body[..*end]).is_ok())
            .expect("the whole can be read");
        for end in 0..needed {
            assert!(read(api, version, &body[..end]).is_err(), "{api:?} {version} {end}");
        }
        assert!(needed + 16 >= body.len(), "{api:?} {version}: {needed} of {}", body.len());
    }
}

/// Bytes changed at random: no panic, and no more memory than the answer itself is worth.
#[test]
fn damaged_responses_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(4711);
    for (api, version, body) in responses() {
        for _ in 0..3000 {
            let mut damaged = body.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..damaged.len());
                damaged[at] = match random.u8(..8) {
                    0 => 0,
                    1 => 0x7f,
                    2 => 0xff,
                    _ => random.u8(..),
                };
            }
            damaged.truncate(random.usize(..=damaged.len()));
            let _ = read(api, version, &damaged);
        }
        for _ in 0..500 {
            let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
            let _ = read(api, version, &noise);
            let _ = opened(api, version, &noise);
        }
    }
}

#[test]
fn requests_have_their_published_form() {
    // A frame of ApiVersions 0: length, key, version, number, name of the client.
    assert_eq!(
        frame(Api::Versions, 0, 7, "c", &versions_request(0)),
        [0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 7, 0, 1, b'c']
    );
    let flexible = frame(Api::Versions, 3, 7, "c", &versions_request(3));
    assert_eq!(
        flexible[..17],
        [0, 0, 0, flexible.len() as u8 - 4, 0, 18, 0, 3, 0, 0, 0, 7, 0, 1, b'c', 0, 7]
    );
    assert_eq!(metadata_request(5, &["t"], true), [0, 0, 0, 1, 0, 1, b't', 1]);
    assert_eq!(metadata_request(9, &["t"], false), [2, 2, b't', 0, 0, 0, 0, 0]);
    let batches = [TopicBatches { name: "t", partitions: vec![(1, &[9, 9][..])] }];
    assert_eq!(
        produce_request(9, 10, &batches),
        [0, 0xff, 0xff, 0, 0, 0, 10, 2, 2, b't', 2, 0, 0, 0, 1, 3, 9, 9, 0, 0, 0]
    );
    assert_eq!(
        produce_request(7, 10, &batches),
        [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 1, 0,
            0, 0, 2, 9, 9
        ]
    );
    assert_eq!(producer_request(2), [0, 0x7f, 0xff, 0xff, 0xff, 0]);
}
