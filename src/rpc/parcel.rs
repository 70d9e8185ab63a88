//! What is published for one request: encoded transports, and the subjects each goes to (protocol notes 6.1, 6.2).

use std::borrow::Cow;

use crate::protocol::{Federation, Transport, subject};

/// Most target subjects in one federated transport.
pub(super) const FEDERATED_GROUP_MAX: usize = 200;

/// One encoded transport and where it goes. The same bytes go to every subject.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parcel<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) subjects: Cow<'a, [String]>,
}

/// Addresses one sealed request. Without federations that is one parcel for all subjects; with federations one per
/// group of [`FEDERATED_GROUP_MAX`] targets, which each federation gets.
pub(super) fn parcels<'a>(
    transport: &'a Transport,
    request_id: &'a str,
    targets: &'a [String],
    federations: &'a [String],
) -> impl Iterator<Item = Parcel<'a>> + 'a {
    let group = if federations.is_empty() { targets.len().max(1) } else { FEDERATED_GROUP_MAX };
    targets.chunks(group).map(move |targets| {
        if federations.is_empty() {
            return Parcel { bytes: transport.encode(), subjects: Cow::Borrowed(targets) };
        }
        let federation = Federation {
            request_id: request_id.to_owned(),
            reply_to: String::new(),
            targets: targets.to_vec(),
        };
        let federated = Transport { federation: Some(federation), ..transport.clone() };
        let subjects: Vec<String> =
            federations.iter().map(|name| subject::federation(name)).collect();
        Parcel { bytes: federated.encode(), subjects: Cow::Owned(subjects) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Version;

    fn targets(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("mcollective.node.n{n}")).collect()
    }

    fn transport() -> Transport {
        Transport::new(Version::V1, b"secure".to_vec(), "shell")
    }

    #[test]
    fn without_federations_there_is_one_encoding() {
        let (transport, targets) = (transport(), targets(1000));
        let all: Vec<_> = parcels(&transport, "id", &targets, &[]).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].subjects, targets);
        assert!(Transport::decode(&all[0].bytes).unwrap().federation.is_none());
        assert_eq!(parcels(&transport, "id", &[], &[]).count(), 0);
    }

    #[test]
    fn federated_targets_go_in_groups_to_every_federation() {
        let federations = ["eu".to_owned(), "us".to_owned()];
        let (transport, targets) = (transport(), targets(401));
        let all: Vec<_> = parcels(&transport, "id", &targets, &federations).collect();
        let sizes: Vec<_> = all
            .iter()
            .map(|parcel| {
                assert_eq!(
                    *parcel.subjects,
                    ["choria.federation.eu.federation", "choria.federation.us.federation"]
                );
                let decoded = Transport::decode(&parcel.bytes).unwrap();
                assert_eq!(decoded.data, b"secure");
                let federation = decoded.federation.unwrap();
                assert_eq!(federation.request_id, "id");
                federation.targets.len()
            })
            .collect();
        assert_eq!(sizes, [200, 200, 1]);
    }
}
