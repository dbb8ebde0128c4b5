//! The control groups that are watched: found through systemd and the tree, followed through the kernel's news.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::skel::types;
use crate::unit_name::{place_of, unit_group};

/// A watched control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Path below the root of the hierarchy.
    pub path: String,
    /// Unit that it belongs to.
    pub unit: String,
    /// That unit's slice.
    pub slice: String,
}

impl Group {
    /// What its path says.
    pub fn new(path: &str) -> Self {
        let place = place_of(path);
        Self { path: path.to_owned(), unit: place.unit.to_owned(), slice: place.slice.to_owned() }
    }
}

/// How many groups that are gone are known: as many as the kernel side remembers for connections that outlive them.
const KEPT: usize = 4096;

/// Groups by id. A group that is gone stays until the records that name it have been read.
#[derive(Debug, Default)]
pub struct Groups {
    known: HashMap<u64, Known>,
    /// The groups of each unit.
    by_unit: HashMap<String, HashSet<u64>>,
    /// Groups that are gone, and the position in the ring behind which nothing names them.
    gone: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Known {
    group: Group,
    /// Position behind which nothing names it, if it is gone.
    gone: Option<u64>,
}

impl Groups {
    /// The group of this id.
    pub fn get(&self, id: u64) -> Option<&Group> {
        self.known.get(&id).map(|k| &k.group)
    }

    /// True if the group is known, and not gone.
    pub fn has(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(|k| k.gone.is_none())
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Group)> {
        self.known.iter().map(|(id, k)| (*id, &k.group))
    }

    /// Those that are there now.
    pub fn there(&self) -> impl Iterator<Item = &Group> {
        self.known.values().filter(|k| k.gone.is_none()).map(|k| &k.group)
    }

    /// Those of a unit that are there now.
    pub fn of_unit(&self, unit: &str) -> impl Iterator<Item = &Group> {
        let ids = self.by_unit.get(unit).into_iter().flatten();
        ids.filter_map(|id| self.known.get(id)).filter(|k| k.gone.is_none()).map(|k| &k.group)
    }

    /// Enters a group.
    pub fn insert(&mut self, id: u64, path: &str) {
        self.remove(id);
        let group = Group::new(path);
        self.by_unit.entry(group.unit.clone()).or_default().insert(id);
        self.known.insert(id, Known { group, gone: None });
    }

    fn remove(&mut self, id: u64) {
        let Some(Known { group, .. }) = self.known.remove(&id) else { return };
        if let Some(ids) = self.by_unit.get_mut(&group.unit) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_unit.remove(&group.unit);
            }
        }
    }

    /// A group is gone, or not watched any more; records up to this position may still name it. Positions never
    /// go back.
    pub fn remove_behind(&mut self, id: u64, position: u64) {
        if let Some(known) = self.known.get_mut(&id).filter(|k| k.gone.is_none()) {
            known.gone = Some(position);
            self.gone.push_back((id, position));
        }
    }

    /// Of those that are not among these, none is there any more, see [`remove_behind`](Self::remove_behind).
    pub fn retain_behind(&mut self, there: &HashSet<u64>, position: u64) {
        let gone: Vec<_> = self.known.keys().filter(|id| !there.contains(id)).copied().collect();
        for id in gone {
            self.remove_behind(id, position);
        }
    }

    /// Forgets what is gone, as far as the ring has been read. The last ones stay for what ends after them.
    pub fn forget(&mut self, consumed: u64) {
        while self.gone.len() > KEPT && self.gone.front().is_some_and(|(_, position)| *position <= consumed) {
            let Some((id, position)) = self.gone.pop_front() else { return };
            // It may have come back: a watch that is added again.
            if self.known.get(&id).is_some_and(|k| k.gone == Some(position)) {
                self.remove(id);
            }
        }
    }
}

/// A group and all below it, parents first: id and path of each. What is gone meanwhile is left out.
///
/// The id of a control group is the inode number of its directory.
pub fn tree(hierarchy: &Path, path: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut queue = VecDeque::from([if path.is_empty() { "/".to_owned() } else { path.to_owned() }]);
    while let Some(path) = queue.pop_front() {
        let directory = directory(hierarchy, &path);
        let Ok(metadata) = fs::metadata(&directory) else { continue };
        found.push((metadata.ino(), path.clone()));
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                let name = entry.file_name();
                queue.push_back(format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy()));
            }
        }
    }
    found
}

/// The id of a control group; `None` if there is none.
pub fn id(hierarchy: &Path, path: &str) -> Option<u64> {
    Some(fs::metadata(directory(hierarchy, path)).ok()?.ino())
}

/// The invocation id of a unit with a group, 32 hexadecimal digits; empty if there is none. systemd notes it at the
/// group, but some versions not at a scope's; of what runs it exports it, too.
pub fn invocation(hierarchy: &Path, path: &str) -> String {
    let noted = xattr::get(directory(hierarchy, path), "trusted.invocation_id").ok().flatten();
    let exported = || exported_invocation(Path::new("/"), place_of(path).unit);
    noted.and_then(|id| String::from_utf8(id).ok()).or_else(exported).unwrap_or_default()
}

/// The invocation id that systemd exports for a unit that runs.
pub fn exported_invocation(root: &Path, unit: &str) -> Option<String> {
    let link = fs::read_link(root.join(format!("run/systemd/units/invocation:{unit}"))).ok()?;
    link.into_os_string().into_string().ok()
}

/// The share of the ring that the records of a control group have: that of its unit's own group. The kernel side does
/// the same with a new group.
pub fn share(hierarchy: &Path, path: &str) -> u16 {
    let id = id(hierarchy, unit_group(path)).unwrap_or_default();
    u16::try_from(id % u64::from(types::limits::SHARES.0)).unwrap_or_default()
}

/// Directory of a control group.
pub fn directory(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_read_from_the_top() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("system.slice/a.service/child")).unwrap();
        fs::write(root.path().join("system.slice/a.service/cgroup.procs"), "").unwrap();
        let paths = |from: &str| tree(root.path(), from).into_iter().map(|(_, p)| p).collect::<Vec<_>>();
        assert_eq!(
            paths("/system.slice/a.service"),
            ["/system.slice/a.service", "/system.slice/a.service/child"]
        );
        assert_eq!(paths("/")[..2], ["/", "/system.slice"]);
        assert!(paths("/none").is_empty());
    }

    #[test]
    fn a_group_is_known_until_its_records_are_read() {
        let mut groups = Groups::default();
        groups.insert(7, "/system.slice/a.service");
        groups.remove_behind(7, 100);
        assert!(groups.there().next().is_none());
        assert!(groups.of_unit("a.service").next().is_none());
        for id in 0..KEPT as u64 {
            groups.insert(1000 + id, "/system.slice/b.service");
            groups.remove_behind(1000 + id, 100);
        }
        groups.forget(99);
        assert_eq!(groups.get(7).unwrap().unit, "a.service");
        groups.forget(100);
        assert!(groups.get(7).is_none());
        assert!(!groups.by_unit.contains_key("a.service"));
        assert_eq!(groups.get(1000).unwrap().unit, "b.service");
    }

    #[test]
    fn a_group_that_is_watched_again_stays() {
        let mut groups = Groups::default();
        groups.insert(7, "/system.slice/a.service");
        groups.remove_behind(7, 100);
        assert!(!groups.has(7));
        groups.insert(7, "/system.slice/a.service");
        groups.forget(100);
        assert!(groups.has(7));
        assert_eq!(groups.of_unit("a.service").count(), 1);
        assert_eq!(groups.of_unit("b.service").count(), 0);
    }
}
