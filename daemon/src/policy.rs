//! Policies: files that name units and the events to record of them, traceleft.policy(5).

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config;
use crate::document::{Document, Problem};
use crate::event::EventSet;
use crate::fragments;
use crate::names::{CONFIG_FILE, POLICY_DIR};
use crate::skel::types;
use crate::unit_name::Target;

/// All keys of a policy.
pub const KEYS: [&str; 6] = ["description", "units", "events", "unit-log", "capture", "setup"];

/// The most bytes of data that a policy may ask for.
const CAPTURE_MAX: u32 = types::limits::CAPTURE_MAX.0;

/// End of the names of policy files.
const SUFFIX: &str = ".toml";

/// What a file in `policy.d` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name of its file without `.toml`; `TRACELEFT_POLICY=` in records.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it is for, in its author's words; empty if they said nothing.
    pub description: String,
    /// What is watched; at least one, none twice.
    pub units: Vec<Target>,
    /// The events recorded of each of them; at least one.
    pub events: EventSet,
    /// True if records name the unit in `OBJECT_SYSTEMD_UNIT=`, so that `journalctl -u` shows them.
    pub unit_log: bool,
    /// How many of the bytes read or written the records of `read` and `write` have.
    pub capture: u16,
    /// True if what systemd does in the unit's control group before the unit's program runs is recorded, too.
    pub set_up: bool,
}

/// Reads a policy from the text of its file; the path gives its name, and is for messages.
///
/// # Errors
/// All that is wrong in it, in the order of the file.
pub fn parse(path: &Path, text: &str) -> Result<Policy, Vec<Problem>> {
    let mut document = Document::parse(path, text, &KEYS).map_err(|p| vec![p])?;
    let description = document.take_string("description").unwrap_or_default();
    let units = units(&mut document);
    let events = events(&mut document);
    let unit_log = document.take_bool("unit-log").unwrap_or(false);
    let mut capture = 0;
    config::set(&mut document, "capture", &mut capture, |v| {
        config::count(v, 0..=CAPTURE_MAX).map(|n| u16::try_from(n).unwrap_or(u16::MAX))
    });
    let set_up = document.take_bool("setup").unwrap_or(false);
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = file_name.strip_suffix(SUFFIX).unwrap_or(&file_name).to_owned();
    let path = path.to_owned();
    document.finish(Policy { name, path, description, units, events, unit_log, capture, set_up })
}

fn units(document: &mut Document<'_>) -> Vec<Target> {
    let mut places: HashMap<Target, Range<usize>> = HashMap::new();
    let mut units = Vec::new();
    for name in document.take_strings("units") {
        match Target::parse(name.get_ref()) {
            Ok(target) => {
                if let Some(first) = places.insert(target.clone(), name.span()) {
                    let line = document.line_of(&first);
                    let message = format!("{target} is listed twice, first in line {line}");
                    document.refuse("units", name.span(), message);
                }
                units.push(target);
            }
            Err(error) => document.refuse("units", name.span(), error),
        }
    }
    units
}

fn events(document: &mut Document<'_>) -> EventSet {
    let mut events = EventSet::default();
    for name in document.take_strings("events") {
        if let Err(error) = events.insert_named(name.get_ref()) {
            document.refuse("events", name.span(), error);
        }
    }
    events
}

fn read(path: &Path) -> Result<Policy, Vec<Problem>> {
    // The name goes into the journal and onto the bus, as text.
    if path.file_name().is_none_or(|name| name.to_str().is_none()) {
        let message = "the name of a policy file must be UTF-8; rename it".to_owned();
        return Err(vec![Problem { path: path.to_owned(), position: None, key: None, message }]);
    }
    parse(path, &fragments::read(path).map_err(|p| vec![p])?)
}

/// Reads all policies below `root`, sorted by name, and beside them all that is wrong with others.
pub fn load(root: &Path) -> (Vec<Policy>, Vec<Problem>) {
    let (files, mut problems) = fragments::find_all(root, POLICY_DIR, SUFFIX);
    let mut policies = Vec::new();
    for path in files {
        match read(&path) {
            Ok(policy) => policies.push(policy),
            Err(found) => problems.extend(found),
        }
    }
    (policies, problems)
}

/// All that is wrong in these files, or, if there are none, in the settings and policies below `root`.
///
/// A file called `traceleftd.toml` holds settings, every other a policy.
pub fn check(root: &Path, files: &[PathBuf]) -> Vec<Problem> {
    if files.is_empty() {
        let mut problems = config::load(root).err().unwrap_or_default();
        problems.extend(load(root).1);
        return problems;
    }
    let check_file = |path: &PathBuf| {
        if path.file_name().is_some_and(|name| name == CONFIG_FILE) {
            fragments::read(path).map_err(|p| vec![p]).and_then(|text| config::parse(path, &text)).err()
        } else {
            read(path).err()
        }
    };
    files.iter().filter_map(check_file).flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::Event;
    use crate::expect;

    #[test]
    fn cases() {
        expect::cases("policy/policies", |path, text| match parse(path, text) {
            Ok(Policy { name, path: _, description, units, events, unit_log, capture, set_up }) => {
                let events: Vec<_> = events.iter().collect();
                format!(
                    "name: {name:?}\ndescription: {description:?}\nunits: {units:?}\nevents: {events:?}\n\
                     unit-log: {unit_log}\ncapture: {capture}\nsetup: {set_up}\n"
                )
            }
            Err(problems) => expect::lines(&problems),
        });
    }

    #[test]
    fn the_shipped_example_is_valid() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/nginx.toml.example");
        let policy = parse(Path::new("nginx.toml"), &fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(policy.units, [Target::parse("nginx.service").unwrap()]);
        assert_eq!(
            policy.events.iter().map(Event::name).collect::<Vec<_>>(),
            ["exec", "open", "tcp-connect"]
        );
    }

    #[test]
    fn good_policies_are_loaded_beside_bad_ones() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/traceleft/policy.d");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("20-good.toml"), "units = [\"a.service\"]\nevents = [\"@file\"]\n").unwrap();
        fs::write(dir.join("30-bad.toml"), "units = [\"a.service\"]\n").unwrap();
        fs::write(dir.join("10-bad.toml"), b"units = [\"\xff\"]\n").unwrap();
        let (policies, problems) = load(root.path());
        assert_eq!(policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["20-good"]);
        let expected = format!(
            "{dir}/10-bad.toml:1:11: invalid UTF-8: byte 0xff; save the file as UTF-8\n\
             {dir}/30-bad.toml:1:1: events: is missing; expected an array of strings\n",
            dir = dir.display()
        );
        assert_eq!(expect::lines(&problems), expected);
        assert_eq!(expect::lines(&check(root.path(), &[])), expected);
    }

    #[test]
    fn check_tells_settings_from_policies_by_name() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let settings = file("etc/traceleft/traceleftd.toml", "units = []\n");
        let policy = file("web.toml", "maxactive = 16\nunits = [\"a.service\"]\nevents = [\"open\"]\n");
        let good = file("good.toml", "units = [\"a.service\"]\nevents = [\"open\"]\n");
        let missing = root.path().join("missing.toml");
        assert_eq!(check(root.path(), std::slice::from_ref(&good)), []);
        let shown = expect::lines(&check(root.path(), &[good, policy, settings.clone(), missing]));
        let lines: Vec<_> = shown.lines().map(|l| l.rsplit('/').next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "web.toml:1:1: maxactive: unknown key; known are description, units, events, unit-log, \
                 capture, setup",
                "traceleftd.toml:1:1: units: unknown key; known are ring-size, probe-backend, maxactive, \
                 control-groups, calls, watches, flush-interval",
                "missing.toml: cannot read it: No such file or directory (os error 2)",
            ]
        );
        assert_eq!(check(root.path(), &[]), check(root.path(), &[settings]));
    }

    #[test]
    fn the_manual_page_has_every_key() {
        let page = expect::ManualPage::read("traceleft.policy.5");
        assert_eq!(page.keys(), KEYS);
        for key in KEYS {
            let entry = page.entry(key);
            for fact in ["Type: ", "Default: ", "Added in version 0.1."] {
                assert!(entry.contains(fact), "{key} lacks {fact:?}: {entry}");
            }
        }
    }

    #[test]
    fn the_example_of_the_manual_page_is_valid() {
        let page = expect::ManualPage::read("traceleft.policy.5");
        let (_, example) = page.text().split_once(".EX\n").unwrap();
        let (example, _) = example.split_once("\n.EE").unwrap();
        parse(Path::new("example.toml"), example).unwrap_or_else(|p| panic!("{}", expect::lines(&p)));
    }
}
