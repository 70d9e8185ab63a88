//! The six requests of a producer and their responses, each in the versions that Kafka 2.1 to 4.x and those who speak like
//! it have: <https://kafka.apache.org/protocol.html#protocol_api_keys>.

use super::codes::Code;
use super::wire::{Reader, WireFault, Writer};

/// A request that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Produce,
    Metadata,
    SaslHandshake,
    /// `ApiVersions` there.
    Versions,
    InitProducerId,
    SaslAuthenticate,
}

impl Api {
    /// Its number.
    pub(super) fn key(self) -> i16 {
        match self {
            Api::Produce => 0,
            Api::Metadata => 3,
            Api::SaslHandshake => 17,
            Api::Versions => 18,
            Api::InitProducerId => 22,
            Api::SaslAuthenticate => 36,
        }
    }

    /// The oldest and newest version that is spoken here.
    pub(super) fn versions(self) -> (i16, i16) {
        match self {
            Api::Produce => (7, 9),
            Api::Metadata => (5, 9),
            Api::SaslHandshake => (1, 1),
            Api::Versions => (0, 3),
            Api::InitProducerId => (1, 2),
            Api::SaslAuthenticate => (0, 2),
        }
    }

    /// Whether this version has the flexible form, with tagged fields.
    pub(super) fn is_flexible(self, version: i16) -> bool {
        version
            >= match self {
                Api::Produce | Api::Metadata => 9,
                Api::SaslHandshake => i16::MAX,
                Api::Versions => 3,
                Api::InitProducerId | Api::SaslAuthenticate => 2,
            }
    }
}

/// The frame of a request: length, header, body.
pub(super) fn frame(
    api: Api,
    version: i16,
    correlation: i32,
    client: &str,
    body: &[u8],
) -> Vec<u8> {
    // The client's name has the old form in every version.
    let mut header = Writer::new(false);
    header.int16(api.key());
    header.int16(version);
    header.int32(correlation);
    header.text(client);
    let mut header = header.into_bytes();
    if api.is_flexible(version) {
        header.push(0);
    }
    let length = i32::try_from(header.len() + body.len()).unwrap_or(i32::MAX);
    let mut frame = Vec::with_capacity(4 + header.len() + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    frame
}

/// A reader of the body of a response, after its header, and the number of the request.
pub(super) fn opened(api: Api, version: i16, frame: &[u8]) -> Result<(i32, Reader<'_>), WireFault> {
    let (number, rest) = frame.split_first_chunk::<4>().ok_or(WireFault::Short)?;
    let mut reader = Reader::new(rest, api.is_flexible(version));
    // The header of this one is the oldest in every version: who cannot read versions must read it.
    if api != Api::Versions {
        reader.tags()?;
    }
    Ok((i32::from_be_bytes(*number), reader))
}

/// The versions of one request that a broker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) key: i16,
    pub(super) oldest: i16,
    pub(super) newest: i16,
}

/// Asks which versions a broker speaks.
pub(super) fn versions_request(version: i16) -> Vec<u8> {
    let mut body = Writer::new(Api::Versions.is_flexible(version));
    if version >= 3 {
        body.text("choria");
        body.text(env!("CARGO_PKG_VERSION"));
    }
    body.tags();
    body.into_bytes()
}

pub(super) fn versions_response(body: &mut Reader<'_>) -> Result<(Code, Vec<Offer>), WireFault> {
    let code = Code(body.int16()?);
    let offers = body.array(|entry| {
        let offer = Offer { key: entry.int16()?, oldest: entry.int16()?, newest: entry.int16()? };
        entry.tags()?;
        Ok(offer)
    })?;
    Ok((code, offers))
}

/// Asks for the brokers, and for the leaders of the partitions of these topics.
pub(super) fn metadata_request(version: i16, topics: &[&str], create: bool) -> Vec<u8> {
    let mut body = Writer::new(Api::Metadata.is_flexible(version));
    body.array(topics, |body, topic| {
        body.text(topic);
        body.tags();
    });
    body.boolean(create);
    if version >= 8 {
        body.boolean(false);
        body.boolean(false);
    }
    body.tags();
    body.into_bytes()
}

/// What a broker knows of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) brokers: Vec<BrokerEntry>,
    pub(super) topics: Vec<TopicEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerEntry {
    pub(super) id: i32,
    pub(super) host: String,
    pub(super) port: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicEntry {
    pub(super) code: Code,
    pub(super) name: String,
    pub(super) partitions: Vec<PartitionEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionEntry {
    pub(super) index: i32,
    /// -1 when there is none.
    pub(super) leader: i32,
}

pub(super) fn metadata_response(
    version: i16,
    body: &mut Reader<'_>,
) -> Result<Metadata, WireFault> {
    body.int32()?; // throttle time
    let brokers = body.array(|broker| {
        let id = broker.int32()?;
        let (host, port) = (broker.text()?.to_owned(), broker.int32()?);
        broker.nullable_text()?; // rack
        broker.tags()?;
        Ok(BrokerEntry { id, host, port })
    })?;
    body.nullable_text()?; // cluster
    body.int32()?; // controller
    let topics = body.array(|topic| {
        let (code, name) = (Code(topic.int16()?), topic.text()?.to_owned());
        topic.boolean()?; // internal
        let partitions = topic.array(|partition| partition_entry(version, partition))?;
        if version >= 8 {
            topic.int32()?; // rights
        }
        topic.tags()?;
        Ok(TopicEntry { code, name, partitions })
    })?;
    Ok(Metadata { brokers, topics })
}

fn partition_entry(version: i16, partition: &mut Reader<'_>) -> Result<PartitionEntry, WireFault> {
    partition.int16()?; // its error shows in the leader
    let (index, leader) = (partition.int32()?, partition.int32()?);
    if version >= 7 {
        partition.int32()?; // leader epoch
    }
    // Replicas, those in sync, those offline.
    for _ in 0..3 {
        partition.array(|node| node.int32())?;
    }
    partition.tags()?;
    Ok(PartitionEntry { index, leader })
}

/// The batches of a Produce request for one topic.
#[derive(Debug)]
pub(super) struct TopicBatches<'a> {
    pub(super) name: &'a str,
    pub(super) partitions: Vec<(i32, &'a [u8])>,
}

/// Confirmed by all replicas that are in sync.
const ACKS_ALL: i16 = -1;

pub(super) fn produce_request(
    version: i16,
    timeout_ms: i32,
    topics: &[TopicBatches<'_>],
) -> Vec<u8> {
    let mut body = Writer::new(Api::Produce.is_flexible(version));
    body.null_text(); // transactional id
    body.int16(ACKS_ALL);
    body.int32(timeout_ms);
    body.array(topics, |body, topic| {
        body.text(topic.name);
        body.array(&topic.partitions, |body, (index, batch)| {
            body.int32(*index);
            body.bytes(batch);
            body.tags();
        });
        body.tags();
    });
    body.tags();
    body.into_bytes()
}

/// What became of the batch for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Produced {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) code: Code,
    /// What the broker says besides.
    pub(super) message: Option<String>,
}

pub(super) fn produce_response(
    version: i16,
    body: &mut Reader<'_>,
) -> Result<Vec<Produced>, WireFault> {
    let topics = body.array(|topic| {
        let name = topic.text()?.to_owned();
        let partitions = topic.array(|partition| produced(version, &name, partition))?;
        topic.tags()?;
        Ok(partitions)
    })?;
    Ok(topics.into_iter().flatten().collect())
}

fn produced(version: i16, topic: &str, body: &mut Reader<'_>) -> Result<Produced, WireFault> {
    let (partition, code) = (body.int32()?, Code(body.int16()?));
    // Offset of the first record, time of storage, first offset of the partition.
    for _ in 0..3 {
        body.int64()?;
    }
    let mut message = None;
    if version >= 8 {
        let of_records = body.array(|record| {
            record.int32()?;
            let message = record.nullable_text()?.map(str::to_owned);
            record.tags()?;
            Ok(message)
        })?;
        let of_batch = body.nullable_text()?.map(str::to_owned);
        message = of_batch.or_else(|| of_records.into_iter().flatten().next());
    }
    body.tags()?;
    Ok(Produced { topic: topic.to_owned(), partition, code, message })
}

/// Asks for the id of a producer without transactions.
pub(super) fn producer_request(version: i16) -> Vec<u8> {
    let mut body = Writer::new(Api::InitProducerId.is_flexible(version));
    body.null_text();
    body.int32(i32::MAX); // of transactions
    body.tags();
    body.into_bytes()
}

/// Error, id and epoch.
pub(super) fn producer_response(body: &mut Reader<'_>) -> Result<(Code, i64, i16), WireFault> {
    body.int32()?; // throttle time
    Ok((Code(body.int16()?), body.int64()?, body.int16()?))
}

pub(super) fn handshake_request(mechanism: &str) -> Vec<u8> {
    let mut body = Writer::new(false);
    body.text(mechanism);
    body.into_bytes()
}

/// The error, and the mechanisms of the broker.
pub(super) fn handshake_response(body: &mut Reader<'_>) -> Result<(Code, Vec<String>), WireFault> {
    let code = Code(body.int16()?);
    Ok((code, body.array(|name| name.text().map(str::to_owned))?))
}

pub(super) fn authenticate_request(version: i16, bytes: &[u8]) -> Vec<u8> {
    let mut body = Writer::new(Api::SaslAuthenticate.is_flexible(version));
    body.bytes(bytes);
    body.tags();
    body.into_bytes()
}

/// The next word of a broker in a SASL exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authenticated {
    pub(super) code: Code,
    pub(super) message: Option<String>,
    pub(super) bytes: Vec<u8>,
    /// How long the login lasts, in milliseconds; zero is for ever.
    pub(super) lifetime_ms: i64,
}

pub(super) fn authenticate_response(
    version: i16,
    body: &mut Reader<'_>,
) -> Result<Authenticated, WireFault> {
    Ok(Authenticated {
        code: Code(body.int16()?),
        message: body.nullable_text()?.map(str::to_owned),
        bytes: body.bytes()?.to_vec(),
        lifetime_ms: if version >= 1 { body.int64()? } else { 0 },
    })
}

#[cfg(test)]
mod tests;
