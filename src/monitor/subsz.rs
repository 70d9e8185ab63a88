//! `/subsz`: the subscriptions.

use std::time::SystemTime;

use serde::Serialize;

use super::Monitor;
use super::options::{BadOption, SubszOptions};
use super::text::{Float, Stamp};
use crate::broker::{Lookups, Statistics, SubscriptionQuery, SubscriptionReport};
use crate::nats::subject::valid_publish;

/// Subscriptions on a page unless another number is asked for.
const LIMIT: usize = 1024;

/// Subscriptions and how they are found.
#[derive(Debug, Serialize)]
pub(super) struct Subsz {
    server_id: String,
    now: Stamp,
    #[serde(flatten)]
    stats: SublistStats,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubDetail>,
}

/// How subscriptions are found.
#[derive(Debug, Serialize)]
pub(super) struct SublistStats {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: Float,
    max_fanout: u64,
    avg_fanout: Float,
}

/// One subscription.
#[derive(Debug, Serialize)]
pub(super) struct SubDetail {
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    account_tag: String,
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    qgroup: String,
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    cid: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl SubDetail {
    /// With the name of its account, where that is of interest.
    pub fn of(report: SubscriptionReport, account: &str) -> SubDetail {
        SubDetail {
            account: account.to_owned(),
            account_tag: account.to_owned(),
            subject: report.subject,
            qgroup: report.queue,
            sid: report.sid,
            msgs: report.delivered,
            max: report.max,
            cid: report.cid,
        }
    }
}

impl SublistStats {
    pub fn of(counts: &Statistics, lookups: &Lookups, subscriptions: u64) -> SublistStats {
        // Every message asks, and only those that find nothing kept are look-ups.
        let asked = counts.in_messages.max(lookups.misses);
        let ratio = |part: u64, of: u64| Float(if of == 0 { 0.0 } else { part as f64 / of as f64 });
        SublistStats {
            num_subscriptions: subscriptions,
            num_cache: lookups.kept,
            num_inserts: lookups.inserts,
            num_removes: lookups.removes,
            num_matches: asked,
            cache_hit_rate: ratio(asked - lookups.misses, asked),
            max_fanout: lookups.receivers_max,
            avg_fanout: ratio(lookups.receivers, lookups.kept),
        }
    }
}

impl Monitor {
    pub(super) async fn subsz(&self, options: &SubszOptions) -> Result<Subsz, BadOption> {
        if !options.test.is_empty() && !valid_publish(options.test.as_bytes()) {
            let test = &options.test;
            let text = format!("invalid test subject, must be valid publish subject: {test}");
            return Err(BadOption(text));
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let offset = usize::try_from(options.offset).unwrap_or(0);
        let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(LIMIT);
        let query = SubscriptionQuery {
            account: given(&options.account),
            subject: given(&options.test),
            offset,
            limit,
        };
        let (mut total, mut list) = (0, Vec::new());
        if options.subscriptions {
            let page = self.observer.subscriptions(query).await;
            total = page.total;
            let entries = page.entries.into_iter();
            let detail = |report: SubscriptionReport| {
                let account = self.observer.account_name(report.account).to_owned();
                SubDetail::of(report, &account)
            };
            list = entries.map(detail).collect();
        }
        let (counts, lookups) = (self.observer.statistics(), self.observer.lookups().await);
        Ok(Subsz {
            server_id: self.server_id().to_owned(),
            now: Stamp(SystemTime::now()),
            stats: SublistStats::of(&counts, &lookups, counts.subscriptions),
            total,
            offset,
            limit,
            subscriptions_list: list,
        })
    }
}
