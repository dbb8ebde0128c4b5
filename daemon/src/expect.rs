//! Data-driven tests: files in `tests/data` and what is expected of them, beside them.
//!
//! With `UPDATE_EXPECT=1` in the environment the expected side is written instead of compared.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs `run` on each `NAME.toml` of a directory below `tests/data`, with its file name and its text, and
/// compares what it returns with `NAME.expected`.
pub fn cases(dir: &str, run: impl Fn(&Path, &str) -> String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(dir);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no cases", dir.display());
    let failed: Vec<_> = files
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            !matches(path, &run(Path::new(path.file_name().unwrap()), &text))
        })
        .collect();
    assert!(failed.is_empty(), "other than expected (UPDATE_EXPECT=1 accepts it): {failed:#?}");
}

fn matches(path: &Path, actual: &str) -> bool {
    let path = path.with_extension("expected");
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|v| v == "1") {
        fs::write(&path, actual).unwrap();
        return true;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        eprintln!("--- {}\n{expected}+++ actual\n{actual}", path.display());
    }
    expected == actual
}

/// Each on a line of its own.
pub fn lines(items: &[impl Display]) -> String {
    items.iter().map(|item| item.to_string() + "\n").collect()
}

/// A manual page that describes one key after another, each in a paragraph `.TP` with the key in bold.
pub struct ManualPage(String);

impl ManualPage {
    /// Reads a page of the directory `man`.
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(name);
        let roff = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(roff.replace("\\-", "-").replace("\\(dq", "\"").replace("\\&", ""))
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The keys that it describes in the section KEYS, in its order.
    pub fn keys(&self) -> Vec<&str> {
        self.entries().map(|(key, _)| key).collect()
    }

    /// What it says of a key, in one line.
    pub fn entry(&self, key: &str) -> String {
        let (_, text) = self.entries().find(|(name, _)| *name == key).expect(key);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let (_, keys) = self.0.split_once(".SH KEYS\n").expect("a section KEYS");
        let keys = keys.split("\n.SH ").next().unwrap_or_default();
        keys.split(".TP\n.B ").skip(1).filter_map(|entry| entry.split_once('\n'))
    }
}
