//! Keys without a `plugin.` prefix, and those of agents that stand beside them.

use super::{COUNT, Key, Kind, SECONDS, key};
use Kind::{Boolean, Choice, CommaList, Path, PathList, Text, TextList, Title};

pub(super) const KEYS: &[Key] = &[
    key("identity", Text, "", "The name of this node; found from the host name when not set"),
    key(
        "collectives",
        CommaList,
        "",
        "The collectives this node belongs to; mcollective when not set",
    ),
    key(
        "main_collective",
        Text,
        "",
        "The collective used when none is named; the first one when not set",
    ),
    key("logfile", Path, "stdout", "Where the log goes: stdout, stderr, discard or a file"),
    key(
        "plugin.choria.log_format",
        Choice(&["auto", "text", "json", "nats"]),
        "auto",
        "How log lines of daemons look; auto is json in a file, nats is the shape of nats-server",
    ),
    key(
        "loglevel",
        Choice(&["debug", "info", "warn", "error", "fatal"]),
        "info",
        "The most detailed level that is logged",
    ),
    key("libdir", PathList, "", "Folders with agent descriptions and plugins"),
    key(
        "classesfile",
        Path,
        "/opt/puppetlabs/puppet/cache/state/classes.txt",
        "The file with the classes of this node, one a line",
    ),
    key(
        "plugin.yaml",
        Path,
        "",
        "The files with the facts of this node between colons, YAML or JSON; later ones win",
    ),
    key("color", Boolean, "true", "Colour on a terminal"),
    key("ttl", SECONDS, "60", "Seconds for which a message is valid"),
    key("discovery_timeout", SECONDS, "2", "Seconds to wait for answers to a discovery"),
    key(
        "default_discovery_method",
        Choice(&["mc", "broadcast", "puppetdb", "choria", "external", "inventory", "flatfile"]),
        "mc",
        "How nodes are discovered when a command does not say",
    ),
    key("default_discovery_options", TextList, "", "Options for the default discovery method"),
    key(
        "rpclimitmethod",
        Choice(&["first", "random"]),
        "first",
        "Which nodes a limited request picks",
    ),
    key("rpcaudit", Boolean, "false", "Record every request in the audit log"),
    key("rpcauthorization", Boolean, "true", "Ask the authorization policy before every action"),
    key("rpcauthprovider", Title, "action_policy", "The kind of authorization policy"),
    key("registration", CommaList, "", "The registration plugins to run"),
    key(
        "registration_collective",
        Text,
        "",
        "The collective registration data is sent to; the main one when not set",
    ),
    key("registerinterval", SECONDS, "300", "Seconds between two registrations"),
    key("registration_splay", Boolean, "true", "Wait a random time before the first registration"),
    key("soft_shutdown_timeout", SECONDS, "2", "Seconds a process gets to end after a signal"),
    key("plugin.nats.user", Text, "", "User name for brokers that want one")
        .env("MCOLLECTIVE_NATS_USERNAME"),
    key("plugin.nats.pass", Text, "", "Password for brokers that want one")
        .env("MCOLLECTIVE_NATS_PASSWORD")
        .secret(),
    key("plugin.nats.credentials", Path, "", "NATS credentials file")
        .env("MCOLLECTIVE_NATS_CREDENTIALS"),
    key("plugin.login.aaasvc.login.url", CommaList, "", "Where choria login finds the AAA service"),
    key("plugin.scout.overrides", Path, "", "File that changes the settings of health checks"),
    key("plugin.scout.tags", Path, "", "File with the tags of this node for health checks"),
    key("plugin.scout.agent_disabled", Boolean, "false", "Do not host the scout agent"),
    key(
        "plugin.scout.goss.denied_local_resources",
        CommaList,
        "",
        "Resources that checks on this node may not use",
    ),
    key(
        "plugin.scout.goss.denied_remote_resources",
        CommaList,
        "command",
        "Resources that checks sent by a client may not use",
    ),
    key("plugin.rpcaudit.logfile", Path, "", "The audit log"),
    key("plugin.rpcaudit.logfile.group", Text, "", "The group that owns the audit log"),
    key("plugin.rpcaudit.logfile.mode", Text, "0600", "The mode of the audit log, in octal"),
    key(
        "plugin.machines.download",
        Boolean,
        "false",
        "Fetch autonomous agents from a key-value bucket",
    ),
    key(
        "plugin.machines.bucket",
        Text,
        "CHORIA_PLUGINS",
        "The bucket that lists autonomous agents",
    ),
    key("plugin.machines.key", Text, "plugins", "The key in that bucket"),
    key(
        "plugin.machines.purge",
        Boolean,
        "true",
        "Remove autonomous agents that are no longer listed",
    ),
    key("plugin.machines.poll_interval", Text, "1m", "How often the list is read"),
    key("plugin.machines.check_interval", Text, "30s", "How often what is installed is checked"),
    key("plugin.machines.signing_key", Text, "", "The public key that has signed the list"),
    key(
        "plugin.actionpolicy.allow_unconfigured",
        Boolean,
        "n",
        "Allow what a policy without a default line says nothing about",
    ),
    key(
        "plugin.actionpolicy.enable_default",
        Boolean,
        "n",
        "Use the default policy for agents without one",
    ),
    key("plugin.actionpolicy.default_name", Text, "default", "The name of the default policy"),
    key("plugin.regopolicy.tracing", Boolean, "n", "Log how a Rego policy comes to its answer"),
    key(
        "plugin.choria.registration.size_trigger",
        COUNT,
        "0",
        "Register at once when the data changes by this many bytes; 0 is off",
    ),
];
