use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("choria-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::fixed(variables, "node1.example.net")
}

/// Loads a server configuration with this text.
fn server(folder: &Folder, text: &str, variables: &[(&str, &str)]) -> (Config, Vec<String>) {
    let path = folder.write("server.conf", text);
    let (config, warnings) =
        Config::load(&Source::Server { path }, &environment(variables), Path::new("/")).unwrap();
    (config, warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let folder = Folder::new("defaults");
    let (config, warnings) = server(&folder, "", &[]);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.identity, "node1.example.net");
    assert_eq!(config.collectives, ["mcollective"]);
    assert_eq!(config.main_collective, "mcollective");
    assert_eq!(config.ttl, Duration::from_secs(60));
    assert_eq!(config.security.provider, "puppet");
    assert_eq!(config.security.allow_list, [r"\.mcollective$", r"\.choria$"]);
    assert_eq!(config.network.client_port, 4222);
    assert_eq!(config.network.write_deadline, Duration::from_secs(10));
    assert_eq!(config.rpc_auth_provider, "action_policy");
    assert!(config.rpc_authorization && !config.audit.is_on);
    assert!(config.choria.use_srv && config.choria.windowed_discovery);
    assert!(config.facts_files.is_empty() && config.nats.user.is_none());
    assert!(config.unsupported_keys().is_empty());
}

#[test]
fn later_lines_win_and_lists_that_add_add() {
    let folder = Folder::new("lines");
    let text = "collectives = a, b\ncollectives = c,d\nlibdir = /x:/y\nlibdir = /z\n\
                default_discovery_options = one\ndefault_discovery_options = two\n\
                plugin.yaml = /f1:/f2\nmain_collective = d\nidentity = me\n";
    let (config, _) = server(&folder, text, &[]);
    assert_eq!(config.collectives, ["c", "d"]);
    assert_eq!(config.main_collective, "d");
    assert_eq!(config.libdir, ["/x", "/y", "/z"].map(PathBuf::from));
    assert_eq!(config.default_discovery_options, ["one", "two"]);
    assert_eq!(config.facts_files, ["/f1", "/f2"].map(PathBuf::from));
    assert_eq!(config.identity, "me");
}

#[test]
fn the_main_collective_is_the_first_one() {
    let folder = Folder::new("main-collective");
    let (config, _) = server(&folder, "collectives = b,a\n", &[]);
    assert_eq!(config.main_collective, "b");
    assert_eq!(config.lookup("registration_collective"), Some(Json::from("b")));
    let (config, _) = server(&folder, "plugin.security.provider = choria\n", &[]);
    assert_eq!(config.collectives, ["choria"]);
}

#[test]
fn bad_values_name_file_line_key_and_what_is_allowed() {
    let folder = Folder::new("bad");
    let cases = [
        ("ttl = soon", "ttl = soon is not allowed, it has to be a number from 0 to 31536000"),
        (
            "color = on",
            "color = on is not allowed, it has to be yes or no (or true, false, y, n, t, f, 1, 0)",
        ),
        (
            "loglevel = loud",
            "loglevel = loud is not allowed, it has to be one of debug, info, warn, error, fatal",
        ),
        (
            "plugin.choria.network.tls_timeout = 2m",
            "plugin.choria.network.tls_timeout = 2m is not allowed, it has to be a duration of at most 1m0s",
        ),
        (
            "plugin.choria.network.leafnode_remote.eu.tls.verify = maybe",
            "plugin.choria.network.leafnode_remote.eu.tls.verify = maybe is not allowed, \
             it has to be yes or no (or true, false, y, n, t, f, 1, 0)",
        ),
    ];
    for (line, expected) in cases {
        let path = folder.write("server.conf", &format!("# first\n{line}\n"));
        let source = Source::Server { path: path.clone() };
        let error = Config::load(&source, &environment(&[]), Path::new("/")).unwrap_err();
        assert_eq!(error.to_string(), format!("{}:2: {expected}", path.display()));
    }
}

#[test]
fn unknown_keys_are_one_warning_with_the_nearest_known_key() {
    let folder = Folder::new("unknown");
    let text = "colectives = a\nplugin.choria.middelware_hosts = b:4222\nconnector = nats\n\
                plugin.puppet.splay = true\nsomething_else_entirely = 1\n";
    let (config, warnings) = server(&folder, text, &[]);
    let file = folder.0.join("server.conf");
    let file = file.display();
    assert_eq!(
        warnings,
        [
            format!("{file}:1: unknown key colectives, did you mean collectives?"),
            format!(
                "{file}:2: unknown key plugin.choria.middelware_hosts, \
                 did you mean plugin.choria.middleware_hosts?"
            ),
            format!("{file}:5: unknown key something_else_entirely"),
        ]
    );
    assert_eq!(config.raw("plugin.puppet.splay").as_deref(), Some("true"));
    assert_eq!(config.lookup("plugin.puppet.splay"), Some(Json::from("true")));
    assert_eq!(config.lookup("no.such.key"), None);
}

#[test]
fn plugin_files_set_untyped_keys_and_choria_keys_only() {
    let folder = Folder::new("plugin-d");
    folder.write("plugin.d/choria.cfg", "middleware_hosts = b1:4222, b2:4222\n");
    folder.write("plugin.d/puppet.cfg", "splay = 30\n");
    folder.write("plugin.d/security.cfg", "provider = file\n");
    folder.write("plugin.d/actionpolicy.cfg", "allow_unconfigured = y\n");
    folder.write("plugin.d/note.txt", "ignored = 1\n");
    let (config, warnings) = server(&folder, "plugin.choria.middleware_hosts = b0:4222\n", &[]);
    assert_eq!(config.choria.middleware_hosts, ["b1:4222", "b2:4222"]);
    assert_eq!(config.raw("plugin.puppet.splay").as_deref(), Some("30"));
    assert_eq!(config.lookup("plugin.actionpolicy.allow_unconfigured"), Some(Json::from(true)));
    assert_eq!(config.security.provider, "puppet");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("security.cfg:1: plugin.security.provider is ignored here"));
}

#[test]
fn files_below_the_home_folder_have_no_plugin_files() {
    let folder = Folder::new("home");
    folder.write("plugin.d/choria.cfg", "middleware_hosts = b1:4222\n");
    let home = folder.0.to_str().unwrap().to_owned();
    let (config, _) = server(&folder, "", &[("HOME", &home)]);
    assert!(config.choria.middleware_hosts.is_empty());
    // The start of a name is not the folder of that name.
    let (config, _) = server(&folder, "", &[("HOME", &home[..home.len() - 1])]);
    assert_eq!(config.choria.middleware_hosts, ["b1:4222"]);
}

#[test]
fn project_files_are_merged_for_clients_the_nearest_last() {
    let folder = Folder::new("project");
    let main = folder.write("client.conf", "ttl = 61\ncollectives = a\n");
    folder.write("work/choria.conf", "ttl = 62\ncollectives = b\n");
    folder.write("work/deep/choria.conf", "ttl = 63\n");
    let cwd = folder.0.join("work/deep");
    let client = Source::Client { path: Some(main.clone()) };
    let (config, _) = Config::load(&client, &environment(&[]), &cwd).unwrap();
    assert_eq!((config.ttl.as_secs(), config.collectives), (63, vec!["b".to_owned()]));
    let server = Source::Server { path: main };
    let (config, _) = Config::load(&server, &environment(&[]), &cwd).unwrap();
    assert_eq!(config.ttl.as_secs(), 61);
}

#[test]
fn the_first_default_file_of_a_client_is_read() {
    let folder = Folder::new("default-file");
    let env = environment(&[("HOME", folder.0.to_str().unwrap())]);
    folder.write(".mcollective", "ttl = 41\n");
    let load = || Config::load(&Source::Client { path: None }, &env, Path::new("/")).unwrap().0;
    assert_eq!(load().ttl.as_secs(), 41);
    folder.write(".choriarc", "ttl = 42\n");
    assert_eq!(load().ttl.as_secs(), 42);
    let missing = Source::Client { path: Some(folder.0.join("missing.conf")) };
    let error = Config::load(&missing, &env, Path::new("/")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read configuration file "), "{error}");
}

#[test]
fn documented_environment_variables_always_win() {
    let folder = Folder::new("environment");
    let variables = [
        ("MCOLLECTIVE_NATS_USERNAME", "ann"),
        ("MCOLLECTIVE_NATS_PASSWORD", "secret"),
        ("CHORIA_SRV_DOMAIN", "srv.example"),
        ("CHORIA_FED_COLLECTIVE", "eu, us"),
    ];
    let (config, _) = server(&folder, "plugin.choria.srv_domain = file.example\n", &variables);
    assert_eq!(config.nats.user.as_deref(), Some("ann"));
    assert_eq!(config.choria.srv_domain.as_deref(), Some("srv.example"));
    assert_eq!(config.choria.federation_collectives, ["eu", "us"]);
    assert_eq!(config.lookup("plugin.nats.pass"), Some(Json::from("*****")));
    assert!(!format!("{:?}", config.nats).contains("secret"));
    assert_eq!(
        config.origin("plugin.choria.srv_domain").to_string(),
        "environment variable CHORIA_SRV_DOMAIN"
    );
    assert!(config.is_set("plugin.nats.user"));
}

#[test]
fn secrets_are_not_shown_by_debug_output_of_the_whole_configuration() {
    let folder = Folder::new("debug");
    let (config, _) = server(&folder, "plugin.nats.pass = hunter2\n", &[]);
    assert!(!format!("{config:?}").contains("hunter2"));
    let (config, _) = server(&folder, "plugin.vault.token = hunter2\n", &[]);
    assert_eq!(config.lookup("plugin.vault.token"), Some(Json::from("*****")));
}

#[test]
fn values_are_looked_up_in_their_native_types() {
    let folder = Folder::new("lookup");
    let (config, _) = server(&folder, "collectives = a,b\nrpcauthprovider = rego_policy\n", &[]);
    let cases = [
        ("collectives", r#"["a","b"]"#),
        ("ttl", "60"),
        ("color", "true"),
        ("rpcauthprovider", r#""Rego_policy""#),
        ("plugin.choria.network.write_deadline", "10000000000"),
        ("plugin.nats.pass", r#""""#),
        ("plugin.choria.network.peers", "[]"),
    ];
    for (key, json) in cases {
        assert_eq!(config.lookup(key).unwrap().to_string(), json, "{key}");
    }
}

#[test]
fn keys_of_absent_features_are_named_and_the_worst_refuse() {
    let folder = Folder::new("unsupported");
    let text = "plugin.scout.tags = /tags\nplugin.choria.server.provision = true\n\
                plugin.choria.executor.enabled = no\n\
                plugin.choria.network.stream.store = /data\n";
    let (config, _) = server(&folder, text, &[]);
    let found = config.unsupported_keys();
    let names: Vec<_> = found.iter().map(|u| (u.key, u.severity)).collect();
    let provision = "plugin.choria.server.provision";
    assert_eq!(names, [(provision, Severity::Refuse), ("plugin.scout.tags", Severity::Warn)]);
    let expected = format!(
        "{}:2: {provision} is not supported yet: this server would wait for a provisioner that never finds it",
        folder.0.join("server.conf").display()
    );
    assert_eq!(found[0].to_string(), expected);
}
