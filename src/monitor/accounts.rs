//! `/accountz` and `/accstatz`: the accounts.

use std::time::SystemTime;

use serde::Serialize;

use super::Monitor;
use super::options::{AccountStatzOptions, AccountzOptions, BadOption};
use super::subsz::SublistStats;
use super::text::Stamp;
use crate::broker::{AccountReport, Traffic};

/// The names of the accounts, or one of them in detail.
#[derive(Debug, Serialize)]
pub(super) struct Accountz {
    server_id: String,
    now: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_account: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountInfo>,
}

/// One account.
#[derive(Debug, Serialize)]
pub(super) struct AccountInfo {
    account_name: String,
    update_time: Stamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: usize,
    client_connections: usize,
    subscriptions: usize,
    name_tag: String,
    sublist_stats: SublistStats,
}

/// What went through accounts.
#[derive(Debug, Serialize)]
pub(super) struct AccountStatz {
    server_id: String,
    now: Stamp,
    account_statz: Vec<AccountStat>,
}

/// What went through one of them.
#[derive(Debug, Serialize)]
pub(super) struct AccountStat {
    acc: String,
    name: String,
    conns: usize,
    leafnodes: usize,
    total_conns: usize,
    num_subscriptions: usize,
    sent: DataStats,
    received: DataStats,
    slow_consumers: u64,
}

/// Messages and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct DataStats {
    pub msgs: u64,
    pub bytes: u64,
}

impl DataStats {
    /// What clients sent.
    pub fn received(traffic: Traffic) -> DataStats {
        DataStats { msgs: traffic.in_messages, bytes: traffic.in_bytes }
    }

    /// What clients got.
    pub fn sent(traffic: Traffic) -> DataStats {
        DataStats { msgs: traffic.out_messages, bytes: traffic.out_bytes }
    }
}

impl AccountStat {
    pub fn of(report: AccountReport) -> AccountStat {
        AccountStat {
            acc: report.name.clone(),
            name: report.name,
            conns: report.connections,
            leafnodes: 0,
            total_conns: report.connections,
            num_subscriptions: report.subscriptions,
            sent: DataStats::sent(report.traffic),
            received: DataStats::received(report.traffic),
            slow_consumers: report.slow_consumers,
        }
    }
}

impl Monitor {
    pub(super) async fn accountz(&self, options: &AccountzOptions) -> Result<Accountz, BadOption> {
        let mut report = Accountz {
            server_id: self.server_id().to_owned(),
            now: Stamp(SystemTime::now()),
            system_account: self.system_account().map(str::to_owned),
            accounts: Vec::new(),
            account_detail: None,
        };
        if options.account.is_empty() {
            report.accounts = self.observer.account_names();
            report.accounts.sort();
        } else {
            report.account_detail = Some(self.account_info(&options.account).await?);
        }
        Ok(report)
    }

    /// Everything about one account.
    pub(super) async fn account_info(&self, name: &str) -> Result<AccountInfo, BadOption> {
        let accounts = self.observer.accounts().await;
        let found = accounts.into_iter().find(|account| account.name == name);
        let account = found.ok_or_else(|| BadOption(format!("Account {name} does not exist")))?;
        let (counts, lookups) = (self.observer.statistics(), self.observer.lookups().await);
        Ok(AccountInfo {
            is_system: self.system_account() == Some(name),
            account_name: account.name.clone(),
            update_time: Stamp(self.observer.settings().1),
            expired: false,
            complete: true,
            jetstream_enabled: false,
            leafnode_connections: 0,
            client_connections: account.connections,
            subscriptions: account.subscriptions,
            name_tag: account.name,
            sublist_stats: SublistStats::of(&counts, &lookups, account.subscriptions as u64),
        })
    }

    pub(super) async fn account_statz(&self, options: &AccountStatzOptions) -> AccountStatz {
        let accounts = self.observer.accounts().await.into_iter();
        let wanted = |account: &AccountReport| {
            (options.accounts.is_empty() || options.accounts.contains(&account.name))
                && (options.include_unused || account.connections > 0)
        };
        AccountStatz {
            server_id: self.server_id().to_owned(),
            now: Stamp(SystemTime::now()),
            account_statz: accounts.filter(wanted).map(AccountStat::of).collect(),
        }
    }
}

impl AccountStatz {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.account_statz.is_empty()
    }
}
