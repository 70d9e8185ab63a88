//! What a federation broker counts, under the names of go-choria (`broker/federation/stats`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Side;
use super::transform::Dropped;
use crate::util::exposition::{Exposition, Figures};

/// One step of the work of one worker.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) received: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) errors: AtomicU64,
    handled: AtomicU64,
    nanos: AtomicU64,
}

impl Stage {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was handled, well or not.
    pub(super) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        Self::add(&self.handled);
    }
}

/// The three steps of one worker.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub(super) ingest: Stage,
    pub(super) transformer: Stage,
    pub(super) egest: Stage,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    /// The side it reads from.
    from: Side,
    pub(super) workers: Vec<Worker>,
    dropped: [AtomicU64; Dropped::REASONS.len()],
}

impl Lane {
    fn new(from: Side, workers: usize) -> Self {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Self { from, workers, dropped: Default::default() }
    }

    pub(super) fn drop_one(&self, dropped: &Dropped) {
        if let Some(counter) = self.dropped.get(dropped.index()) {
            Stage::add(counter);
        }
    }

    /// Each step with its name and the side it is connected to.
    fn stages<'w>(&self, worker: &'w Worker) -> [(&'static str, &'static str, &'w Stage); 3] {
        let transformer = match self.from {
            Side::Federation => "choria_request_transformer",
            Side::Collective => "choria_reply_transformer",
        };
        [
            ("nats_ingest", self.from.name(), &worker.ingest),
            (transformer, "unconnected", &worker.transformer),
            ("nats_egest", self.from.other().name(), &worker.egest),
        ]
    }
}

/// Everything that one federation broker counts.
#[derive(Debug)]
pub struct FederationFigures {
    cluster: String,
    identity: String,
    pub(super) requests: Lane,
    pub(super) replies: Lane,
    /// Whether there is a connection to the side.
    pub(super) federation: AtomicBool,
    pub(super) collective: AtomicBool,
}

impl FederationFigures {
    pub(super) fn new(cluster: &str, identity: &str, workers: usize) -> Self {
        Self {
            cluster: cluster.to_owned(),
            identity: identity.to_owned(),
            requests: Lane::new(Side::Federation, workers),
            replies: Lane::new(Side::Collective, workers),
            federation: AtomicBool::new(false),
            collective: AtomicBool::new(false),
        }
    }

    pub(super) fn lane(&self, from: Side) -> &Lane {
        match from {
            Side::Federation => &self.requests,
            Side::Collective => &self.replies,
        }
    }

    pub(super) fn connected(&self, side: Side) -> &AtomicBool {
        match side {
            Side::Federation => &self.federation,
            Side::Collective => &self.collective,
        }
    }

    /// One figure of every step, with the labels of the reference.
    fn each(&self, mut sample: impl FnMut(&[(&str, &str)], &Stage)) {
        for lane in [&self.requests, &self.replies] {
            for (number, worker) in lane.workers.iter().enumerate() {
                let number = number.to_string();
                for (name, side, stage) in lane.stages(worker) {
                    let labels = [
                        ("cluster", self.cluster.as_str()),
                        ("connected_to", side),
                        ("identity", &self.identity),
                        ("name", name),
                        ("worker", &number),
                    ];
                    sample(&labels, stage);
                }
            }
        }
    }

    fn write_counters(&self, text: &mut Exposition) {
        type Counter = fn(&Stage) -> &AtomicU64;
        let counters: [(&str, &str, Counter); 3] = [
            ("received_msgs", "Messages received by a worker", |stage| &stage.received),
            ("published_msgs", "Messages published by a worker", |stage| &stage.published),
            ("errors", "Messages that could not be handled", |stage| &stage.errors),
        ];
        for (name, help, counter) in counters {
            let name = format!("choria_federation_{name}");
            text.head(&name, "counter", help);
            self.each(|labels, stage| {
                text.sample(&name, labels, counter(stage).load(Ordering::Relaxed));
            });
        }
        const TIME: &str = "choria_federation_time";
        text.head(TIME, "summary", "Time taken to process messages, in seconds");
        self.each(|labels, stage| {
            let nanos = stage.nanos.load(Ordering::Relaxed);
            let seconds = Duration::from_nanos(nanos).as_secs_f64();
            text.sample(&format!("{TIME}_sum"), labels, seconds);
            text.sample(&format!("{TIME}_count"), labels, stage.handled.load(Ordering::Relaxed));
        });
    }

    /// What the reference does not tell.
    fn write_more(&self, text: &mut Exposition) {
        let own = [("cluster", self.cluster.as_str()), ("identity", &self.identity)];
        const CONNECTED: &str = "choria_federation_connected";
        text.head(CONNECTED, "gauge", "Whether there is a connection to a side");
        for side in [Side::Federation, Side::Collective] {
            let is_up = self.connected(side).load(Ordering::Relaxed);
            let labels = [own[0], ("connected_to", side.name()), own[1]];
            text.sample(CONNECTED, &labels, u8::from(is_up));
        }
        const DROPPED: &str = "choria_federation_dropped_msgs";
        text.head(DROPPED, "counter", "Messages, or copies of them, that were dropped, by reason");
        for lane in [&self.requests, &self.replies] {
            for (reason, count) in Dropped::REASONS.iter().zip(&lane.dropped) {
                let labels =
                    [own[0], ("connected_to", lane.from.name()), own[1], ("reason", reason)];
                text.sample(DROPPED, &labels, count.load(Ordering::Relaxed));
            }
        }
    }
}

impl Figures for FederationFigures {
    fn write(&self, text: &mut Exposition) {
        self.write_counters(text);
        self.write_more(text);
    }

    fn trouble(&self) -> Option<String> {
        let sides = [Side::Federation, Side::Collective];
        let lost = sides.iter().find(|side| !self.connected(**side).load(Ordering::Relaxed))?;
        Some(format!("the federation broker has no connection to its {} side", lost.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_of_the_reference() {
        let figures = FederationFigures::new("eu", "fed1", 1);
        Stage::add(&figures.requests.workers[0].egest.published);
        figures.replies.workers[0].ingest.took(Duration::from_millis(1500));
        figures.requests.drop_one(&Dropped::NoTargets);
        figures.connected(Side::Federation).store(true, Ordering::Relaxed);
        let mut text = Exposition::default();
        figures.write(&mut text);
        let text = text.finish();
        let labels = |name, side| {
            format!(
                "{{cluster=\"eu\",connected_to=\"{side}\",identity=\"fed1\",name=\"{name}\",worker=\"0\"}}"
            )
        };
        for (name, side) in [
            ("nats_ingest", "federation"),
            ("choria_request_transformer", "unconnected"),
            ("nats_egest", "collective"),
            ("nats_ingest", "collective"),
            ("choria_reply_transformer", "unconnected"),
            ("nats_egest", "federation"),
        ] {
            let line = format!("choria_federation_received_msgs{} 0\n", labels(name, side));
            assert!(text.contains(&line), "{line}{text}");
        }
        for line in [
            format!("choria_federation_published_msgs{} 1\n", labels("nats_egest", "collective")),
            format!("choria_federation_time_sum{} 1.5\n", labels("nats_ingest", "collective")),
            format!("choria_federation_time_count{} 1\n", labels("nats_ingest", "collective")),
            "choria_federation_dropped_msgs{cluster=\"eu\",connected_to=\"federation\",identity=\"fed1\",reason=\"no_targets\"} 1\n".to_owned(),
            "choria_federation_connected{cluster=\"eu\",connected_to=\"federation\",identity=\"fed1\"} 1\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), 6);
        let trouble = figures.trouble().unwrap();
        assert_eq!(trouble, "the federation broker has no connection to its collective side");
        figures.connected(Side::Collective).store(true, Ordering::Relaxed);
        assert_eq!(figures.trouble(), None);
    }
}
