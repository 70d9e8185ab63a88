use std::os::unix::fs::symlink;

use super::*;
use crate::server::testing::TempDir;

fn place(path: PathBuf) -> Place {
    Place { path, mode: 0o640, group: None }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn lines_go_to_the_file_that_has_the_name_now() {
    let folder = TempDir::new();
    let (path, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    fs::write(&path, "before\n").unwrap();
    let file = AuditFile::open(place(path.clone())).unwrap();
    file.append(b"1\n").unwrap();
    // Moved away, as log rotation does.
    fs::rename(&path, &old).unwrap();
    file.append(b"2\n").unwrap();
    assert_eq!((text(&old), text(&path)), ("before\n1\n".to_owned(), "2\n".to_owned()));
    // Replaced by another.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "made\n").unwrap();
    file.append(b"3\n").unwrap();
    assert_eq!(text(&path), "made\n3\n");
    // Cut to nothing in place.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    file.append(b"4\n").unwrap();
    assert_eq!(text(&path), "4\n");
    // Without its folder there is no place, and with it there is one again.
    let (away, back) = (folder.path().join("away"), folder.path().join("sub"));
    fs::create_dir(&back).unwrap();
    let file = AuditFile::open(place(back.join("audit.log"))).unwrap();
    fs::rename(&back, &away).unwrap();
    assert!(matches!(file.append(b"5\n"), Err(Unwritten::Open(..))));
    fs::rename(&away, &back).unwrap();
    file.append(b"6\n").unwrap();
    assert_eq!(text(&back.join("audit.log")), "6\n");
}

#[test]
fn a_line_that_was_cut_short_does_not_spoil_the_next() {
    let folder = TempDir::new();
    let path = folder.path().join("audit.log");
    fs::write(&path, "whole\n{\"half").unwrap();
    let file = AuditFile::open(place(path.clone())).unwrap();
    file.append(b"next\n").unwrap();
    file.append(b"after\n").unwrap();
    assert_eq!(text(&path), "whole\n{\"half\nnext\nafter\n");
}

#[test]
fn permissions_are_exact_for_a_new_file_and_left_alone_otherwise() {
    let folder = TempDir::new();
    let path = folder.path().join("audit.log");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    let with = |mode| Place { mode, ..place(path.clone()) };
    for wanted in [0o600, 0o640, 0o666] {
        AuditFile::open(with(wanted)).unwrap();
        assert_eq!(mode(), wanted);
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
    AuditFile::open(with(0o600)).unwrap();
    assert_eq!(mode(), 0o604);
    let own = fs::metadata(&path).unwrap().gid();
    AuditFile::open(Place { group: Some(own), ..with(0o600) }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().gid(), own);
}

#[test]
fn a_file_is_given_to_its_group() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = TempDir::new();
    let path = folder.path().join("audit.log");
    fs::write(&path, "").unwrap();
    fchown(File::open(&path).unwrap(), Some(1), Some(1)).unwrap();
    AuditFile::open(Place { group: Some(4), ..place(path.clone()) }).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (0, 4));
}

#[test]
fn what_cannot_be_written_is_told() {
    let folder = TempDir::new();
    let open = |path: &Path| AuditFile::open(place(path.to_owned()));
    let missing = open(&folder.path().join("missing/audit.log"));
    assert!(matches!(missing, Err(Unwritten::Open(..))), "{missing:?}");
    assert!(matches!(open(folder.path()), Err(Unwritten::Open(..))));
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(open(&socket).is_err());
    let full = open(Path::new("/dev/full")).unwrap();
    for _ in 0..2 {
        let error = full.append(b"line\n").unwrap_err();
        assert!(matches!(error, Unwritten::Write(..)), "{error}");
        assert!(error.to_string().starts_with("cannot write audit log /dev/full: "), "{error}");
    }
    // Another name for a file is fine, and a pipe would make everybody wait.
    let link = folder.path().join("link");
    symlink(folder.path().join("target"), &link).unwrap();
    open(&link).unwrap().append(b"1\n").unwrap();
    assert_eq!(text(&folder.path().join("target")), "1\n");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(matches!(open(&pipe), Err(Unwritten::Kind(_))));
    }
}

#[test]
fn modes_are_numbers_as_go_reads_them() {
    for (text, mode) in [
        ("0600", Some(0o600)),
        ("0o640", Some(0o640)),
        ("0O640", Some(0o640)),
        ("384", Some(0o600)),
        ("0x180", Some(0o600)),
        ("0b110000000", Some(0o600)),
        ("0", Some(0)),
        ("0777", Some(0o777)),
        ("01000", None),
        ("600", None),
        ("0800", None),
        ("+0600", None),
        ("0+600", None),
        ("-1", None),
        ("rw-------", None),
        ("", None),
        ("0x", None),
        (" 0600", None),
    ] {
        assert_eq!(parse_mode(text), mode, "{text}");
    }
}
