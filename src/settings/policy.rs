//! Which policies say who may call what.

use std::path::Path;

use serde_json::Value;

use crate::config::Config;
use crate::policy::{Kind, Settings, policy_folder};

/// The policies that a configuration asks for. Whether they are asked at all is `rpcauthorization`.
pub fn policies(config: &Config) -> Settings {
    let is_on = |key: &str| config.lookup(key) == Some(Value::Bool(true));
    let default = || config.raw("plugin.actionpolicy.default_name").unwrap_or_default();
    let file = config.file.as_deref().unwrap_or(Path::new(""));
    Settings {
        kind: Kind::named(&config.rpc_auth_provider),
        folder: policy_folder(file),
        allow_unconfigured: is_on("plugin.actionpolicy.allow_unconfigured"),
        default_name: is_on("plugin.actionpolicy.enable_default").then(default),
        evaluator: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source};

    fn settings(lines: &str) -> Settings {
        let name = format!("choria-policies-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("server.conf");
        std::fs::write(&path, format!("identity = n1\n{lines}")).unwrap();
        let env = Environment::fixed(&[], "n1");
        let (config, _) = Config::load(&Source::Server { path }, &env, Path::new("/")).unwrap();
        let settings = policies(&config);
        assert_eq!(settings.folder, folder.join("policies"));
        std::fs::remove_dir_all(folder).unwrap();
        settings
    }

    #[test]
    fn keys_of_policies() {
        let plain = settings("");
        assert_eq!(
            (plain.kind, plain.allow_unconfigured, plain.default_name),
            (Kind::ActionPolicy, false, None)
        );
        let set = settings(
            "rpcauthprovider = Nosuch\nplugin.actionpolicy.allow_unconfigured = y\n\
             plugin.actionpolicy.enable_default = 1\n",
        );
        assert!(matches!(set.kind, Kind::Unknown(_)) && set.allow_unconfigured);
        assert_eq!(set.default_name.as_deref(), Some("default"));
        let named = settings(
            "plugin.actionpolicy.enable_default = y\nplugin.actionpolicy.default_name = rest\n",
        );
        assert_eq!(named.default_name.as_deref(), Some("rest"));
        assert_eq!(settings("plugin.actionpolicy.default_name = rest\n").default_name, None);
    }
}
