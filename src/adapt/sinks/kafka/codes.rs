//! What the error codes of brokers mean: <https://kafka.apache.org/protocol.html#protocol_error_codes>.

use std::fmt;

/// An error code of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) i16);

/// What a producer does about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The batch is stored.
    Stored,
    /// The batch may be sent again as it is.
    Passing,
    /// The broker does not know the sequence of this producer, or has lost a part of it.
    Sequence,
    /// The batch is larger than the topic takes.
    TooLarge,
    /// The broker does not take something in the batch.
    Unacceptable,
}

impl Code {
    pub(super) const NONE: Code = Code(0);
    pub(super) const UNKNOWN_TOPIC: Code = Code(3);
    pub(super) const INVALID_TOPIC: Code = Code(17);
    pub(super) const UNSUPPORTED_VERSION: Code = Code(35);

    pub(super) fn is_ok(self) -> bool {
        self == Self::NONE
    }

    /// What a producer does about it.
    pub(super) fn meaning(self) -> Meaning {
        match self.0 {
            // 46: the same batch was stored before.
            0 | 46 => Meaning::Stored,
            10 | 18 => Meaning::TooLarge,
            17 | 32 | 43 | 76 | 87 => Meaning::Unacceptable,
            45 | 47 | 49 | 59 | 90 => Meaning::Sequence,
            // Leaders that move, replicas that are missing, rights that an operator has yet to give: with any of them the
            // batch is not lost, and may be taken later.
            _ => Meaning::Passing,
        }
    }

    fn words(self) -> Option<&'static str> {
        Some(match self.0 {
            -1 => "the broker failed in a way it does not expect",
            2 => "the batch arrived damaged",
            3 => "the topic or partition does not exist there",
            5 => "the partition has no leader now",
            6 => "the partition has another leader now",
            7 => "the replicas did not confirm in time",
            10 => "the message is larger than the topic takes",
            13 => "the broker lost its connection to another",
            14..=16 => "the broker is still starting",
            17 => "the name of the topic is not allowed",
            18 => "the batch is larger than a segment of the topic",
            19 => "fewer replicas are in sync than the topic demands",
            20 => "it was stored by fewer replicas than the topic demands",
            29 => "this user may not write to the topic",
            31 => "this user may not use the cluster",
            32 => "the time of a message is further from now than the topic allows",
            33 => "the broker does not know the SASL mechanism",
            34 => "the SASL exchange is out of order",
            35 => "the broker does not know this version of the request",
            41 => "the broker is not the controller",
            42 => "the broker calls the request invalid",
            43 => "the topic's messages have an older format",
            45 => "messages before this one are missing",
            47 => "another producer has taken the place of this one",
            49 => "the producer id is not valid",
            53 => "this user may not use transactional ids",
            56 => "the broker cannot write to its disk",
            58 => "user or password is wrong",
            59 => "the broker does not know the producer any more",
            61 => "this user may not create topics",
            74 => "the broker has newer news of the leader",
            75 => "the broker has older news of the leader",
            76 => "the broker does not know the compression",
            87 => "the broker found the message invalid",
            89 => "the broker limits the rate",
            90 => "another producer has taken the place of this one",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some(words) => write!(f, "{words} (error {})", self.0),
            None => write!(f, "error {} of Kafka", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_meaning() {
        for (meaning, codes) in [
            (Meaning::Stored, &[0, 46][..]),
            (Meaning::Passing, &[-1, 3, 5, 6, 7, 13, 19, 20, 29, 56, 89, 1234]),
            (Meaning::Sequence, &[45, 47, 59]),
            (Meaning::TooLarge, &[10, 18]),
            (Meaning::Unacceptable, &[17, 32, 87]),
        ] {
            for code in codes {
                assert_eq!(Code(*code).meaning(), meaning, "{code}");
            }
        }
        assert_eq!(Code(1234).to_string(), "error 1234 of Kafka");
        assert_eq!(Code(10).to_string(), "the message is larger than the topic takes (error 10)");
    }
}
