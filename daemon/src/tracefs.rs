//! Probe definitions in tracefs: the one interface of the kernel in which a kretprobe's maxactive can be set.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::names::TRACEFS_GROUP;

/// Where tracefs is mounted, below the root directory.
const MOUNTS: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];

/// What a probe hooks of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Its entry.
    Kprobe,
    /// Its return.
    Kretprobe,
    /// Its entry, by a trampoline.
    Fentry,
    /// Its return, by a trampoline.
    Fexit,
    /// A tracepoint of the kernel.
    Tracepoint,
}

impl Kind {
    /// As the bus and the kernel call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// True if it is a definition in tracefs.
    pub fn is_defined(self) -> bool {
        matches!(self, Self::Kprobe | Self::Kretprobe)
    }

    /// What does the same by a trampoline.
    pub fn by_trampoline(self) -> Option<Self> {
        match self {
            Self::Kprobe => Some(Self::Fentry),
            Self::Kretprobe => Some(Self::Fexit),
            Self::Fentry | Self::Fexit | Self::Tracepoint => None,
        }
    }
}

/// Name of a definition in our group: `p_open_do_filp_open` for the program `probe_open`. Two programs may hook
/// one function. The name of a compiler's clone (`f.isra.0`) has dots, which the kernel refuses here.
pub fn event_name(kind: Kind, function: &str, program: &str) -> String {
    let letter = match kind {
        Kind::Kprobe => 'p',
        Kind::Kretprobe => 'r',
        Kind::Fentry => 'f',
        Kind::Fexit => 'x',
        Kind::Tracepoint => 't',
    };
    let (_, what) = program.split_once('_').unwrap_or_default();
    format!("{letter}_{what}_{}", function.replace('.', "_"))
}

/// The kernel's list of probes.
#[derive(Debug)]
pub struct Tracefs {
    directory: PathBuf,
}

impl Tracefs {
    /// Finds tracefs below `root`; `None` if it is not mounted, or the kernel has no kprobes.
    pub fn find(root: &Path) -> Option<Self> {
        let directory = MOUNTS.iter().map(|m| root.join(m)).find(|d| d.join("kprobe_events").exists())?;
        Some(Self { directory })
    }

    fn write(&self, line: &str) -> io::Result<()> {
        OpenOptions::new().append(true).open(self.directory.join("kprobe_events"))?.write_all(line.as_bytes())
    }

    /// Defines a probe. The kernel says `ENOENT` or `EINVAL` where there is no such function.
    pub fn define(&self, kind: Kind, name: &str, function: &str, maxactive: u32) -> io::Result<()> {
        self.write(&match kind {
            Kind::Kprobe => format!("p:{TRACEFS_GROUP}/{name} {function}\n"),
            Kind::Kretprobe => format!("r{maxactive}:{TRACEFS_GROUP}/{name} {function}\n"),
            Kind::Fentry | Kind::Fexit | Kind::Tracepoint => return Ok(()),
        })
    }

    /// The id that a definition has got.
    pub fn id(&self, name: &str) -> io::Result<u64> {
        let path = self.directory.join("events").join(TRACEFS_GROUP).join(name).join("id");
        fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
    }

    /// Removes a definition.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.write(&format!("-:{TRACEFS_GROUP}/{name}\n"))
    }

    /// Names of all definitions in our group.
    pub fn defined(&self) -> io::Result<Vec<String>> {
        Ok(ours(&fs::read_to_string(self.directory.join("kprobe_events"))?))
    }

    /// Hits and misses of each definition of our group, by name.
    pub fn profile(&self) -> io::Result<HashMap<String, (u64, u64)>> {
        Ok(profile(&fs::read_to_string(self.directory.join("kprobe_profile"))?))
    }
}

fn ours(list: &str) -> Vec<String> {
    let prefix = format!("{TRACEFS_GROUP}/");
    let name = |line: &str| {
        line.split_whitespace().next()?.split_once(':')?.1.strip_prefix(&prefix).map(str::to_owned)
    };
    list.lines().filter_map(name).collect()
}

/// Lines of `kprobe_profile`: name without group, hits, misses. The first letters and the function make ours
/// unlike others'.
fn profile(table: &str) -> HashMap<String, (u64, u64)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        Some((name, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_written_and_found_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(Tracefs::find(root.path()).is_none());
        let directory = root.path().join("sys/kernel/tracing");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("kprobe_events"), "p:other/x do_exit\n").unwrap();
        let tracefs = Tracefs::find(root.path()).unwrap();
        for (kind, function, program) in
            [(Kind::Kprobe, "fd_install", "probe_x"), (Kind::Kretprobe, "do_sys_openat2", "return_open")]
        {
            tracefs.define(kind, &event_name(kind, function, program), function, 16).unwrap();
        }
        assert_eq!(
            fs::read_to_string(directory.join("kprobe_events")).unwrap(),
            "p:other/x do_exit\np:traceleft/p_x_fd_install fd_install\n\
             r16:traceleft/r_open_do_sys_openat2 do_sys_openat2\n"
        );
        assert_eq!(tracefs.defined().unwrap(), ["p_x_fd_install", "r_open_do_sys_openat2"]);
    }

    #[test]
    fn profile_lines() {
        let table = "  p_fd_install                             12               0\n  bad\n  r_x  3 4\n";
        let profile = profile(table);
        assert_eq!(profile["p_fd_install"], (12, 0));
        assert_eq!(profile["r_x"], (3, 4));
        assert_eq!(profile.len(), 2);
    }
}
