//! Finds agent descriptions: the built-in ones first, then files below the library directories (client notes 4.1).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ddl::{self, Agent, DOCUMENT_BYTES_MAX, builtin};
use crate::util::suggest;

/// Folders below each library directory, in the order of the search.
const FOLDERS: [&str; 2] = ["choria/agent", "mcollective/agent"];
/// Deepest folder below those that is searched.
const DEPTH_MAX: usize = 8;
/// Most files that are looked at in one search.
const FILES_MAX: usize = 10_000;

/// Why an agent has no usable description.
#[derive(Debug)]
pub enum DdlError {
    /// No built-in agent and no file has the name.
    Unknown {
        /// The name asked for.
        agent: String,
        /// A known name much like it.
        nearest: Option<String>,
    },
    /// A file of that name is not a valid description.
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: ddl::Fault,
    },
    /// A file of that name describes another agent.
    OtherAgent {
        /// The name asked for.
        agent: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of that name cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        err: io::Error,
    },
}

impl DdlError {
    /// A known agent the user may have meant.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Unknown { nearest, .. } => nearest.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for DdlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { agent, .. } => {
                write!(f, "could not resolve {agent} DDL in any resolver: no such agent")
            }
            Self::Invalid { path, fault } => write!(f, "cannot use {}: {fault}", path.display()),
            Self::OtherAgent { agent, path } => {
                write!(f, "the DDL does not describe the {agent} agent: {}", path.display())
            }
            Self::Unreadable { path, err } => write!(f, "cannot read {}: {err}", path.display()),
        }
    }
}

impl std::error::Error for DdlError {}

/// The description of an agent. Of several files with the name the last in the order of the search counts, as in the
/// reference. Reads files: not for use in a task that must not block.
///
/// # Errors
/// When there is none, or the one there is cannot be used.
pub fn resolve(agent: &str, libdirs: &[PathBuf]) -> Result<Arc<Agent>, DdlError> {
    if let Some(known) = builtin::agent(agent) {
        return Ok(Arc::new(known.clone()));
    }
    let mut files = files(libdirs);
    let Some(path) = files.remove(agent) else {
        let known = builtin::names().map(Cow::Borrowed).chain(files.into_keys().map(Cow::Owned));
        let known: Vec<Cow<'_, str>> = known.collect();
        let nearest = suggest::nearest(agent, known.iter().map(AsRef::as_ref)).map(str::to_owned);
        return Err(DdlError::Unknown { agent: agent.to_owned(), nearest });
    };
    let document = read(&path).map_err(|err| DdlError::Unreadable { path: path.clone(), err })?;
    let described =
        Agent::parse(&document).map_err(|fault| DdlError::Invalid { path: path.clone(), fault })?;
    if described.metadata.name != agent {
        return Err(DdlError::OtherAgent { agent: agent.to_owned(), path });
    }
    Ok(Arc::new(described))
}

/// The names of all agents that have a description, sorted.
pub fn names(libdirs: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = files(libdirs).into_keys().collect();
    names.extend(builtin::names().map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

fn files(libdirs: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut budget = FILES_MAX;
    for libdir in libdirs {
        for folder in FOLDERS {
            walk(&libdir.join(folder), DEPTH_MAX, &mut budget, &mut found);
        }
    }
    found
}

fn walk(folder: &Path, depth: usize, budget: &mut usize, found: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).take(FILES_MAX).collect();
    paths.sort_unstable();
    for path in paths {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, budget, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "json")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            found.insert(name.to_owned(), path.clone());
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut document = Vec::new();
    // One byte more than allowed, so that the parser can say that it is too long.
    fs::File::open(path)?.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut document)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("choria-ddl-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn ddl(name: &str, version: &str) -> String {
        format!("{{\"metadata\":{{\"name\":\"{name}\",\"version\":\"{version}\"}},\"actions\":[]}}")
    }

    #[test]
    fn the_search_order() {
        let folder = Folder::new("order");
        folder.write("a/choria/agent/one.json", &ddl("one", "1"));
        folder.write("a/mcollective/agent/deep/er/one.json", &ddl("one", "2"));
        folder.write("b/choria/agent/two.json", &ddl("two", "1"));
        folder.write("b/choria/agent/two.ddl", "not read");
        folder.write("b/choria/agent/rpcutil.json", &ddl("rpcutil", "99"));
        folder.write("b/choria/agent/bad.json", "{");
        folder.write("b/choria/agent/other.json", &ddl("else", "1"));
        let libdirs = [folder.0.join("a"), folder.0.join("nosuch"), folder.0.join("b")];

        let version = |agent| resolve(agent, &libdirs).map(|ddl| ddl.metadata.version.clone());
        assert_eq!(version("one").unwrap(), "2");
        assert_eq!(version("two").unwrap(), "1");
        assert_ne!(version("rpcutil").unwrap(), "99");
        assert_eq!(
            names(&libdirs),
            ["bad", "choria_policy", "choria_util", "one", "other", "rpcutil", "scout", "two"]
        );

        let text = |agent| resolve(agent, &libdirs).unwrap_err().to_string();
        assert!(text("other").starts_with("the DDL does not describe the other agent"));
        assert!(text("bad").contains("bad.json: the document is not a valid agent description"));
        assert_eq!(text("nosuch"), "could not resolve nosuch DDL in any resolver: no such agent");
        assert_eq!(resolve("rpcutl", &libdirs).unwrap_err().suggestion(), Some("rpcutil"));
    }
}
