//! A configuration file of every role, and a list of users. `@` and a byte at the start of a line stand for one of the
//! known keys, so that values of all kinds are met. Whatever the file says, every key that is set has a value.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use choria::broker::access::UserList;
use choria::config::keys;
use choria::config::{Config, Environment, Source};
use libfuzzer_sys::fuzz_target;

/// A folder of this process in memory, with nothing in it but the file.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = root.join(format!("choria-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
});

static KEYS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| keys::all().map(|key| key.name).collect());

fuzz_target!(|data: &[u8]| {
    if let Ok(users) = serde_json::from_slice::<UserList>(data) {
        let text = serde_json::to_vec(&users).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<UserList>(&text).ok(), Some(users));
    }
    let path = FOLDER.join("broker.conf");
    fs::write(&path, expand(data)).expect("the file can be written");
    let env = Environment::fixed(&[], "host.example.net");
    for source in [
        Source::Broker { path: path.clone() },
        Source::Server { path: path.clone() },
        Source::Client { path: Some(path.clone()) },
    ] {
        let Ok((config, _)) = Config::load(&source, &env, &FOLDER) else { continue };
        for key in config.set_keys() {
            assert!(config.lookup(&key).is_some(), "{key} is set and has no value");
            let _ = config.raw(&key);
        }
        let _ = config.unsupported_keys();
    }
});

fn expand(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() * 2);
    for line in data.split(|byte| *byte == b'\n') {
        match line {
            [b'@', key, value @ ..] => {
                let key = KEYS[usize::from(*key) % KEYS.len()];
                text.extend_from_slice(format!("{key} = ").as_bytes());
                text.extend_from_slice(value);
            }
            plain => text.extend_from_slice(plain),
        }
        text.push(b'\n');
    }
    text
}
