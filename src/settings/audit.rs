//! The audit log of a server, opened before the server starts.

use std::sync::Arc;

use super::Problem;
use crate::config::Config;
use crate::server::audit::{Audit, AuditFile, Place, parse_mode};
use crate::sys;

const LOGFILE: &str = "plugin.rpcaudit.logfile";
const GROUP: &str = "plugin.rpcaudit.logfile.group";
const MODE: &str = "plugin.rpcaudit.logfile.mode";

/// The audit log that the configuration asks for. One that is asked for and cannot be written is a
/// problem: a server without it would refuse every request.
pub fn audit(config: &Config) -> Result<Option<Arc<Audit>>, Problem> {
    if !config.audit.is_on {
        return Ok(None);
    }
    let Some(path) = config.audit.logfile.clone() else {
        let text = format!("rpcaudit is on and {LOGFILE} is not set, so nothing could be audited");
        return Err(Problem::new(text).hint(format!("set {LOGFILE}, or rpcaudit = false")));
    };
    let text = &config.audit.mode;
    let Some(mode) = parse_mode(text) else {
        let problem = format!("{}: {MODE} = {text} is not a mode of a file", config.origin(MODE));
        return Err(Problem::new(problem).hint("write it in octal, such as 0640"));
    };
    if mode & 0o002 != 0 {
        log::warn!("server: {MODE} = {text} lets everybody change the audit log");
    }
    let place = Place { path, mode, group: group(config)? };
    let file = AuditFile::open(place).map_err(|error| {
        Problem::new(error.to_string()).hint(format!("correct {LOGFILE}, or rpcaudit = false"))
    })?;
    log::info!("server: auditing requests file={}", file.path().display());
    Ok(Some(Arc::new(Audit::new(file))))
}

/// The number of the group, which is named or is a number already.
fn group(config: &Config) -> Result<Option<u32>, Problem> {
    let name = config.audit.group.as_str();
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let place = config.origin(GROUP);
    match sys::group_number(name) {
        Ok(Some(number)) => Ok(Some(number)),
        Ok(None) => Err(Problem::new(format!("{place}: {GROUP} = {name}: there is no such group"))
            .hint("groups that are not in /etc/group are given by their number")),
        Err(error) => Err(Problem::new(format!("{place}: {GROUP} = {name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{Environment, Source};

    fn open(lines: &str) -> Result<Option<Arc<Audit>>, Problem> {
        let name = format!("choria-audit-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("server.conf");
        let lines = lines.replace("FOLDER", folder.to_str().unwrap());
        std::fs::write(&path, format!("identity = n1\n{lines}")).unwrap();
        let env = Environment::fixed(&[], "n1");
        let (config, _) = Config::load(&Source::Server { path }, &env, Path::new("/")).unwrap();
        let opened = audit(&config);
        std::fs::remove_dir_all(folder).unwrap();
        opened
    }

    #[test]
    fn an_audit_log_that_is_asked_for_has_to_work() {
        assert!(open("").unwrap().is_none());
        assert!(open("plugin.rpcaudit.logfile = FOLDER/a.log\n").unwrap().is_none());
        let on = "rpcaudit = 1\nplugin.rpcaudit.logfile = FOLDER/a.log\n";
        assert!(open(on).unwrap().is_some());
        assert!(open(&format!("{on}{GROUP} = root\n")).is_ok() || !is_root());
        let refused = |lines: &str, text: &str| {
            let problem = open(lines).unwrap_err();
            assert!(problem.message.contains(text), "{lines}: {problem}");
            assert!(!problem.hints.is_empty(), "{lines}");
        };
        refused("rpcaudit = 1\n", "rpcaudit is on and plugin.rpcaudit.logfile is not set");
        refused(&format!("{on}{MODE} = rw\n"), "= rw is not a mode of a file");
        refused(&format!("{on}{MODE} = 01777\n"), "= 01777 is not a mode of a file");
        refused(&format!("{on}{GROUP} = no such group\n"), "there is no such group");
        refused("rpcaudit = 1\nplugin.rpcaudit.logfile = FOLDER\n", "cannot open audit log ");
        let missing = "rpcaudit = 1\nplugin.rpcaudit.logfile = FOLDER/missing/a.log\n";
        refused(missing, "cannot open audit log ");
    }

    fn is_root() -> bool {
        PathBuf::from("/proc/self").metadata().is_ok_and(|own| {
            use std::os::unix::fs::MetadataExt;
            own.uid() == 0
        })
    }
}
