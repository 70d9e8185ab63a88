use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::*;
use crate::adapt::Template;

/// A folder that is removed with the value.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        let name = format!("choria-file-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &[u8]) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// The names in it, in order.
    fn names(&self) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(dir: &TempDir, template: &str) -> Settings {
    Settings {
        folder: dir.0.clone(),
        names: Names::new(Template::parse(template).unwrap()).unwrap(),
        size_max: 0,
        age_max: Duration::ZERO,
        kept_max: 2,
        mode: 0o640,
        sync: Sync::Batch,
        open_max: 2,
        files_max: 100,
        batch: BatchLimits { records_max: 10, bytes_max: 1_000, age_max: Duration::ZERO },
        timeout: Duration::from_secs(10),
    }
}

fn record(sender: &str, body: &str) -> Record {
    Record {
        id: format!("r-{sender}"),
        sender: sender.to_owned(),
        agent: "registration".to_owned(),
        collective: "mcollective".to_owned(),
        time: UNIX_EPOCH,
        request_id: "r".to_owned(),
        subject: "s".to_owned(),
        body: body.as_bytes().into(),
    }
}

fn deliver(sink: &mut FileSink, records: &[(&str, &str)]) -> Vec<Verdict> {
    let batch: Vec<_> = records.iter().map(|(sender, body)| record(sender, body)).collect();
    smol::block_on(sink.deliver(&batch)).unwrap()
}

#[test]
fn records_are_lines_in_the_files_of_their_senders() {
    let dir = TempDir::new();
    let mut sink = FileSink::new(settings(&dir, "{collective}/{sender}.ndjson"));
    let verdicts =
        deliver(&mut sink, &[("a", r#"{"n":1}"#), ("b", "{\"n\":\r\n2}"), ("a", r#"{"n":3}"#)]);
    assert_eq!(verdicts, vec![Verdict::Delivered; 3]);
    assert_eq!(dir.read("mcollective/a.ndjson"), "{\"n\":1}\n{\"n\":3}\n");
    assert_eq!(dir.read("mcollective/b.ndjson"), "{\"n\":  2}\n");
    deliver(&mut sink, &[("../../../tmp/x", "{}")]);
    assert_eq!(dir.read("mcollective/_.._.._.._tmp_x.ndjson"), "{}\n");
    let mode = |name: &str| fs::metadata(dir.0.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("mcollective/a.ndjson"), mode("mcollective") & 0o750), (0o640, 0o750));
    // Two at a time are open, however many there are.
    assert_eq!(sink.shelf.lock().unwrap().open_files(), 2);
    deliver(&mut sink, &[("a", "{}")]);
    assert_eq!(dir.read("mcollective/a.ndjson"), "{\"n\":1}\n{\"n\":3}\n{}\n");
    smol::block_on(sink.close());
    assert_eq!(sink.shelf.lock().unwrap().open_files(), 0);
}

#[test]
fn files_are_rotated_by_size_and_the_oldest_are_removed() {
    let dir = TempDir::new();
    let with_limit = Settings { size_max: 20, ..settings(&dir, "data") };
    let mut sink = FileSink::new(with_limit);
    dir.write("data~unrelated-but-ours", b"x");
    dir.write("database", b"x");
    for number in 0..5 {
        deliver(&mut sink, &[("a", &format!("{{\"number\":{number}}}"))]);
    }
    let names = dir.names();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("data~")).count(), 2, "{names:?}");
    assert!(names.contains(&"database".to_owned()), "{names:?}");
    assert_eq!(dir.read("data"), "{\"number\":4}\n");
    // One line is larger than a file may be: it gets one of its own.
    deliver(&mut sink, &[("a", &"x".repeat(50))]);
    assert_eq!(dir.read("data").len(), 51);
}

#[test]
fn files_are_rotated_by_age() {
    let dir = TempDir::new();
    let mut sink =
        FileSink::new(Settings { age_max: Duration::from_millis(50), ..settings(&dir, "data") });
    deliver(&mut sink, &[("a", "1")]);
    std::thread::sleep(Duration::from_millis(60));
    deliver(&mut sink, &[("a", "2")]);
    assert_eq!((dir.read("data").as_str(), dir.names().len()), ("2\n", 2));
    let rotated = dir.names().remove(1);
    assert_eq!(dir.read(&rotated), "1\n");
    // `data~20240501T101112.123456Z`
    assert!(rotated.len() == "data~".len() + 23 && rotated.ends_with('Z'), "{rotated}");
}

#[test]
fn the_end_that_a_crash_has_left_is_repaired() {
    for (before, expected) in [
        ("", "{}\n"),
        ("{\"a\":1}\n", "{\"a\":1}\n{}\n"),
        ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n{}\n"),
        ("{\"b\":", "{}\n"),
        ("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n{}\n"),
        ("{\"a\":1}\n\0\0\0\0", "{\"a\":1}\n{}\n"),
        ("of somebody else", "of somebody else\n{}\n"),
    ] {
        let dir = TempDir::new();
        dir.write("data", before.as_bytes());
        let mut sink = FileSink::new(settings(&dir, "data"));
        deliver(&mut sink, &[("a", "{}")]);
        assert_eq!(dir.read("data"), expected, "{before:?}");
    }
}

#[test]
fn what_cannot_be_written_is_tried_again_and_costs_nothing_else() {
    let dir = TempDir::new();
    let outside = TempDir::new();
    let mut sink = FileSink::new(settings(&dir, "{sender}/data"));
    dir.write("file", b"x");
    symlink(&outside.0, dir.0.join("link")).unwrap();
    fs::create_dir(dir.0.join("linked")).unwrap();
    symlink(outside.0.join("target"), dir.0.join("linked/data")).unwrap();
    fs::create_dir_all(dir.0.join("folder/data")).unwrap();
    let verdicts = deliver(
        &mut sink,
        &[("file", "1"), ("link", "2"), ("linked", "3"), ("folder", "4"), ("good", "5")],
    );
    let (last, failed) = verdicts.split_last().unwrap();
    assert_eq!((last, dir.read("good/data").as_str()), (&Verdict::Delivered, "5\n"));
    for verdict in failed {
        let Verdict::Retry(reason) = verdict else { panic!("{verdict:?}") };
        assert!(reason.starts_with("cannot write to /"), "{reason}");
    }
    assert_eq!(outside.names(), Vec::<String>::new());
    // Once the reason is gone, they are written.
    fs::remove_file(dir.0.join("link")).unwrap();
    assert_eq!(deliver(&mut sink, &[("link", "2")]), [Verdict::Delivered]);
    assert_eq!(dir.read("link/data"), "2\n");
}

#[test]
fn too_many_files_share_one() {
    let dir = TempDir::new();
    let mut sink = FileSink::new(Settings { files_max: 2, ..settings(&dir, "{sender}") });
    deliver(&mut sink, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("a", "5")]);
    assert_eq!(dir.names(), ["a", "b", "overflow.ndjson"]);
    assert_eq!(dir.read("overflow.ndjson"), "3\n4\n");
    assert_eq!(dir.read("a"), "1\n5\n");
}

#[test]
fn one_process_at_a_time_writes_to_a_file() {
    let dir = TempDir::new();
    let mut first = FileSink::new(settings(&dir, "data"));
    deliver(&mut first, &[("a", "1")]);
    let mut second = FileSink::new(settings(&dir, "data"));
    let verdicts = deliver(&mut second, &[("a", "2")]);
    assert!(
        matches!(&verdicts[0], Verdict::Retry(reason) if reason.ends_with("another process is writing to it")),
        "{verdicts:?}"
    );
    drop(first);
    assert_eq!(deliver(&mut second, &[("a", "2")]), [Verdict::Delivered]);
    assert_eq!(dir.read("data"), "1\n2\n");
}

#[test]
fn a_check_writes_nothing() {
    let dir = TempDir::new();
    let mut sink = FileSink::new(settings(&dir, "{sender}.ndjson"));
    let found = smol::block_on(sink.check(&record("a", "{}"))).unwrap();
    let folder = dir.0.display();
    assert!(found.starts_with(&format!("the folder {folder} can be written to, ")), "{found}");
    assert!(found.ends_with(&format!("would write to {folder}/a.ndjson")), "{found}");
    assert_eq!(dir.names(), Vec::<String>::new());
    assert_eq!(sink.describe(), format!("file {folder}/{{sender}}.ndjson"));
    let missing = Settings { folder: Path::new("/nonexistent/x").into(), ..settings(&dir, "a") };
    let error = smol::block_on(FileSink::new(missing.clone()).check(&record("a", ""))).unwrap_err();
    assert!(error.text.starts_with("cannot use the folder /nonexistent/x: "), "{error}");
    // The folder may come back: nothing is lost until then, and none is made in its place.
    assert!(matches!(&deliver(&mut FileSink::new(missing), &[("a", "1")])[0], Verdict::Retry(_)));
    assert!(!Path::new("/nonexistent").exists());
}
