//! What `ping` prints.

use std::time::Duration;

use super::statistics::rounded;
use super::style::printable;
use crate::util::graph;

/// Width of one bar of the graph, in milliseconds.
const BUCKET_MILLIS: u128 = 50;

/// One node that answered.
pub fn line(sender: &str, delay: Duration) -> String {
    format!("{:<40} time={} ms\n", printable(sender), delay.as_millis())
}

/// The closing statistics of one or more answers; `overhead` is the time from start to the first publish.
pub fn statistics(delays: &[Duration], overhead: Duration) -> String {
    let (count, sum) = (delays.len(), delays.iter().sum::<Duration>());
    let average = sum / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let longest = delays.iter().max().copied().unwrap_or_default();
    let shortest = delays.iter().min().copied().unwrap_or_default();
    format!(
        "---- ping statistics ----\n{count} replies max: {} min: {} avg: {} overhead: {}\n",
        rounded(longest),
        rounded(shortest),
        rounded(average),
        rounded(overhead)
    )
}

/// How many nodes answered in each span of 50 ms.
pub fn histogram(delays: &[Duration]) -> String {
    let bucket = |delay: &Duration| usize::try_from(delay.as_millis() / BUCKET_MILLIS).unwrap_or(0);
    let mut counts = vec![0.0; delays.iter().map(bucket).max().map_or(0, |last| last + 1)];
    for delay in delays {
        counts[bucket(delay)] += 1.0;
    }
    graph::plot(&counts, "Responses per 50ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(list: &[u64]) -> Vec<Duration> {
        list.iter().map(|millis| Duration::from_millis(*millis)).collect()
    }

    #[test]
    fn a_line_has_forty_columns_for_the_name() {
        assert_eq!(
            line("n1.example.net", Duration::from_micros(31_900)),
            "n1.example.net                           time=31 ms\n"
        );
    }

    #[test]
    fn statistics_are_in_whole_milliseconds() {
        assert_eq!(
            statistics(&millis(&[20, 41]), Duration::from_micros(12_400)),
            "---- ping statistics ----\n2 replies max: 41ms min: 20ms avg: 31ms overhead: 12ms\n"
        );
    }

    #[test]
    fn the_histogram_counts_answers_by_delay() {
        let text = histogram(&millis(&[1, 2, 60]));
        assert_eq!(text.lines().count(), 17, "{text}");
        assert!(text.ends_with("Responses per 50ms"), "{text}");
        assert_eq!(histogram(&[]), "");
    }
}
