//! The daemon's settings: `traceleftd.toml`, traceleftd.toml(5).

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::document::{Document, Problem};
use crate::fragments;
use crate::names::CONFIG_FILE;

/// All keys of `traceleftd.toml`.
pub const KEYS: [&str; 7] =
    ["ring-size", "probe-backend", "maxactive", "control-groups", "calls", "watches", "flush-interval"];

/// Bytes. The least is a page, which the kernel requires; on a machine with larger pages it refuses less.
const RING_SIZE: RangeInclusive<u32> = 4 << 10..=512 << 20;
const MAXACTIVE: RangeInclusive<u32> = 1..=4096;
const CONTROL_GROUPS: RangeInclusive<u32> = 64..=1 << 20;
const CALLS: RangeInclusive<u32> = 64..=1 << 20;
const WATCHES: RangeInclusive<u32> = 16..=1 << 16;
const FLUSH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// By what programs are attached to kernel functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Kprobes and kretprobes.
    #[default]
    Kprobe,
    /// Trampolines where the kernel has them for a function; it is said if it has none, or misses events by them.
    Fentry,
    /// The same where the kernel misses nothing by it, else kprobes; nothing is said.
    Auto,
}

/// What can be set for the daemon as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the ring between kernel and daemon; a power of two.
    pub ring_size: u32,
    /// By what programs are attached.
    pub probe_backend: Backend,
    /// Instances of each kretprobe: how many calls of one function, on the whole machine, can be between
    /// entry and return without a result being missed.
    pub maxactive: u32,
    /// Entries of the map of watched control groups.
    pub control_groups: u32,
    /// Entries of the map of watched calls between entry and return.
    pub calls: u32,
    /// Sets of watches that there can be; control groups that the same watches cover share one.
    pub watches: u32,
    /// The longest time that a record waits in the ring before the daemon is woken.
    pub flush_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_size: 16 << 20,
            probe_backend: Backend::default(),
            maxactive: 16,
            control_groups: 16384,
            calls: 8192,
            watches: 1024,
            flush_interval: Duration::from_millis(100),
        }
    }
}

/// Reads the settings below `root`, and the path of the file they are from; the defaults if there is none.
///
/// # Errors
/// All that is wrong in the file, or why it cannot be read.
pub fn load(root: &Path) -> Result<(Settings, Option<PathBuf>), Vec<Problem>> {
    let Some(path) = fragments::find(root, CONFIG_FILE).map_err(|p| vec![p])? else {
        return Ok((Settings::default(), None));
    };
    let text = fragments::read(&path).map_err(|p| vec![p])?;
    Ok((parse(&path, &text)?, Some(path)))
}

/// Reads settings from the text of a file; `path` is for messages.
///
/// # Errors
/// All that is wrong in it, in the order of the file.
pub fn parse(path: &Path, text: &str) -> Result<Settings, Vec<Problem>> {
    let mut document = Document::parse(path, text, &KEYS).map_err(|p| vec![p])?;
    let mut settings = Settings::default();
    set(&mut document, "ring-size", &mut settings.ring_size, ring_size);
    set(&mut document, "probe-backend", &mut settings.probe_backend, backend);
    set(&mut document, "maxactive", &mut settings.maxactive, |v| count(v, MAXACTIVE));
    set(&mut document, "control-groups", &mut settings.control_groups, |v| count(v, CONTROL_GROUPS));
    set(&mut document, "calls", &mut settings.calls, |v| count(v, CALLS));
    set(&mut document, "watches", &mut settings.watches, |v| count(v, WATCHES));
    set(&mut document, "flush-interval", &mut settings.flush_interval, interval);
    document.finish(settings)
}

/// Sets one setting if the file has its key; what `read` says against the value is a problem.
pub fn set<T>(
    document: &mut Document<'_>,
    key: &'static str,
    setting: &mut T,
    read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
) {
    let Some(value) = document.take(key) else { return };
    match read(value.get_ref()) {
        Ok(value) => *setting = value,
        Err(expected) => {
            let found = found(&value);
            document.refuse(key, value.span(), format_args!("expected {expected}, found: {found}"));
        }
    }
}

/// A value as a message shows it.
fn found(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(s) => format!("{s:?}"),
        DeValue::Integer(i) => i.to_string(),
        other => other.type_str().to_owned(),
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A whole number of one of these units, as in `8M` or `100ms`.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Reads an integer of this range.
pub fn count(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = integer(value).and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
    number.ok_or_else(|| format!("an integer from {} to {}", range.start(), range.end()))
}

fn backend(value: &DeValue<'_>) -> Result<Backend, String> {
    match value.as_str() {
        Some("kprobe") => Ok(Backend::Kprobe),
        Some("fentry") => Ok(Backend::Fentry),
        Some("auto") => Ok(Backend::Auto),
        _ => Err(r#""kprobe", "fentry" or "auto""#.to_owned()),
    }
}

fn ring_size(value: &DeValue<'_>) -> Result<u32, String> {
    let units = [("", 1), ("K", 1 << 10), ("M", 1 << 20)];
    let bytes = integer(value).or_else(|| quantity(value.as_str()?, &units));
    bytes
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| n.is_power_of_two() && RING_SIZE.contains(n))
        .ok_or_else(|| r#"a power of two from "4K" to "512M", as a string or in bytes"#.to_owned())
}

fn interval(value: &DeValue<'_>) -> Result<Duration, String> {
    // A bare number has no unit: systemd would read seconds, others milliseconds.
    let millis = value.as_str().and_then(|text| quantity(text, &[("ms", 1), ("s", 1000)]));
    millis
        .map(Duration::from_millis)
        .filter(|d| FLUSH_INTERVAL.contains(d))
        .ok_or_else(|| r#"a time from "1ms" to "10s", as a string with its unit"#.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::expect;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/traceleftd.toml");

    #[test]
    fn the_shipped_file_has_every_default_commented_out() {
        let text = fs::read_to_string(SHIPPED).unwrap();
        let path = Path::new("traceleftd.toml");
        assert_eq!(parse(path, &text).unwrap(), Settings::default());
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "all is commented out");
        // Prose has a space after the #, settings have none.
        let settings: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix('#')).filter(|l| l.contains('=')).collect();
        let settings: Vec<_> = settings.into_iter().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(parse(path, &settings.join("\n")).unwrap(), Settings::default());
        let keys: Vec<_> = settings.iter().filter_map(|line| Some(line.split_once(" =")?.0)).collect();
        assert_eq!(keys, KEYS);
    }

    #[test]
    fn cases() {
        expect::cases("policy/settings", |path, text| match parse(path, text) {
            Ok(settings) => format!("{settings:#?}\n"),
            Err(problems) => expect::lines(&problems),
        });
    }

    #[test]
    fn settings_come_from_the_strongest_file_or_are_the_defaults() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(load(root.path()).unwrap(), (Settings::default(), None));
        for (dir, maxactive) in [("usr/lib", 32), ("etc", 64)] {
            let dir = root.path().join(dir).join("traceleft");
            fs::create_dir_all(&dir).unwrap();
            let path = dir.join("traceleftd.toml");
            fs::write(&path, format!("maxactive = {maxactive}\n")).unwrap();
            assert_eq!(
                load(root.path()).unwrap(),
                (Settings { maxactive, ..Settings::default() }, Some(path))
            );
        }
        fs::write(root.path().join("etc/traceleft/traceleftd.toml"), "maxactive = 0\n").unwrap();
        let problems = load(root.path()).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("etc/traceleft/traceleftd.toml:1:13: maxactive: expected"));
    }

    #[test]
    fn the_manual_page_has_every_key_with_range_and_default() {
        let page = expect::ManualPage::read("traceleftd.toml.5");
        let range = |r: RangeInclusive<u32>| format!("{} to {}", r.start(), r.end());
        #[rustfmt::skip]
        let facts = [
            ("ring-size", "4K to 512M".to_owned(), "\"16M\""),
            ("probe-backend", "\"kprobe\", \"fentry\" or \"auto\"".to_owned(), "\"kprobe\""),
            ("maxactive", range(MAXACTIVE), "16"),
            ("control-groups", range(CONTROL_GROUPS), "16384"),
            ("calls", range(CALLS), "8192"),
            ("watches", range(WATCHES), "1024"),
            ("flush-interval", "1ms to 10s".to_owned(), "\"100ms\""),
        ];
        assert_eq!(facts.each_ref().map(|(key, ..)| *key), KEYS);
        assert_eq!(page.keys(), KEYS);
        for (key, range, default) in facts {
            let entry = page.entry(key);
            for fact in [&range, &format!("Default: {default}."), "Type: ", "Added in version 0.1."] {
                assert!(entry.contains(fact), "{key} lacks {fact:?}: {entry}");
            }
            let text = format!("{key} = {default}");
            assert_eq!(parse(Path::new("x"), &text).unwrap(), Settings::default(), "{text}");
        }
    }
}
