//! How a server registers itself.

use std::time::Duration;

use super::Problem;
use crate::config::{self, Config};
use crate::nats::subject;
use crate::protocol::limits;
use crate::server::registration::{Provider, Settings, SizeTrigger, Source};

/// Nothing is published more often.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Nothing that is published less often is of use to anybody.
const INTERVAL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// What the configuration asks for; nothing when there is no registration.
pub(super) fn registration(config: &Config) -> Result<Option<Settings>, Problem> {
    let wanted = &config.registration;
    let mut providers: Vec<Provider> = Vec::new();
    for name in &wanted.providers {
        let provider = provider(config, name)?;
        if !providers.contains(&provider) {
            providers.push(provider);
        }
    }
    if providers.is_empty() {
        return Ok(None);
    }
    check_interval(config, "registerinterval", wanted.interval)?;
    check_collective(config, &wanted.collective)?;
    let size_trigger = match wanted.size_trigger {
        0 => None,
        bytes => {
            let interval = wanted.size_interval;
            check_interval(config, "plugin.choria.registration.size_interval", interval)?;
            Some(SizeTrigger { bytes, interval })
        }
    };
    Ok(Some(Settings {
        providers,
        collective: wanted.collective.clone(),
        interval: wanted.interval,
        has_splay: wanted.splay,
        size_trigger,
        ttl_secs: config.ttl.as_secs(),
    }))
}

fn provider(config: &Config, name: &str) -> Result<Provider, Problem> {
    let wanted: &config::Registration = &config.registration;
    let provider = match name {
        Source::FILE => {
            const KEY: &str = "plugin.choria.registration.file_content.data";
            let Some(path) = wanted.file.clone() else {
                let origin = config.origin("registration");
                let text = format!("{origin}: registration = {name} needs {KEY}");
                return Err(Problem::new(text).hint("set it to the file whose content is sent"));
            };
            Provider {
                source: Source::File(path),
                target: wanted.file_target.clone(),
                is_compressed: wanted.file_compression,
            }
        }
        Source::INVENTORY => Provider {
            source: Source::Inventory,
            target: wanted.inventory_target.clone(),
            is_compressed: wanted.inventory_compression,
        },
        _ => {
            let origin = config.origin("registration");
            let text = format!("{origin}: registration = {name:?} is not a provider of data");
            let hint = format!("allowed are {} and {}", Source::FILE, Source::INVENTORY);
            return Err(Problem::new(text).hint(hint));
        }
    };
    check_target(config, &provider)?;
    Ok(provider)
}

fn check_target(config: &Config, provider: &Provider) -> Result<(), Problem> {
    let Some(target) = &provider.target else { return Ok(()) };
    let is_fine = target.len() <= limits::SUBJECT_BYTES_MAX
        && subject::valid_publish(target.as_bytes())
        && !target.chars().any(char::is_control);
    if is_fine {
        return Ok(());
    }
    let key = format!("plugin.choria.registration.{}.target", provider.source.name());
    let text = format!("{}: {key} = {target:?} cannot be published to", config.origin(&key));
    Err(Problem::new(text).hint("a subject has no blanks, no empty parts and no * or >"))
}

fn check_interval(config: &Config, key: &str, interval: Duration) -> Result<(), Problem> {
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(());
    }
    let (origin, secs) = (config.origin(key), interval.as_secs());
    let text = format!("{origin}: {key} = {secs} is no time between two registrations");
    let (min, max) = (INTERVAL_MIN.as_secs(), INTERVAL_MAX.as_secs());
    Err(Problem::new(text).hint(format!("allowed are {min} to {max} seconds")))
}

fn check_collective(config: &Config, collective: &str) -> Result<(), Problem> {
    const KEY: &str = "registration_collective";
    if config.collectives.iter().any(|known| known == collective) {
        return Ok(());
    }
    let text = format!(
        "{}: {KEY} = {collective:?} is not a collective of this server",
        config.origin(KEY)
    );
    Err(Problem::new(text).hint(format!("allowed are {}", config.collectives.join(", "))))
}
