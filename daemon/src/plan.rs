//! Which watches cover which control groups. Pure: the kernel side applies the same rules to a new group by
//! its parent and its name, from the table made here.

use std::collections::BTreeMap;

use crate::control::{Origin, Resolution, WatchId};
use crate::event::EventSet;
use crate::kernel::kernel_name;
use crate::unit_name::{Target, place_of, slice_ancestors};

/// A watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is watched.
    pub target: Target,
    /// The events asked of it.
    pub events: EventSet,
    /// Where it comes from.
    pub origin: Origin,
    /// Show the records among those of the unit.
    pub unit_log: bool,
    /// Bytes of data that records of `read` and `write` have.
    pub capture: u16,
    /// What systemd does before the unit's program runs is recorded, too.
    pub set_up: bool,
    /// What systemd said last.
    pub resolution: Resolution,
}

/// journald's control group.
const JOURNALD: &str = "/system.slice/systemd-journald.service";

/// All watches, by number.
pub type Watches = BTreeMap<WatchId, Watch>;

/// Watches that cover the same groups, by number, sorted.
pub type Set = Vec<WatchId>;

impl Watch {
    /// The name that the unit's group has: an alias stands for its unit.
    pub fn name(&self) -> String {
        kernel_name(&self.target, &self.resolution.id)
    }

    fn matches(&self, unit: &str) -> bool {
        self.target.matches(unit) || (!self.target.is_template() && self.resolution.id == unit)
    }

    fn is_slice(&self) -> bool {
        self.target.is_slice()
    }
}

/// The watches that cover a control group: of its unit, and of the slices above it.
pub fn covering(watches: &Watches, control_group: &str) -> Set {
    let place = place_of(control_group);
    let slices: Vec<_> = slice_ancestors(place.slice).collect();
    let covers = |w: &Watch| w.matches(place.unit) || (w.is_slice() && slices.iter().any(|s| w.matches(s)));
    watches.iter().filter(|(_, w)| covers(w)).map(|(id, _)| *id).collect()
}

/// True if a watch covers journald itself.
pub fn covers_journald(watches: &Watches) -> bool {
    !covering(watches, JOURNALD).is_empty()
}

/// What a new group of a unit gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePlan {
    /// The watches that cover its parent.
    pub parent: Set,
    /// The unit's name, or its template's.
    pub name: String,
    /// The watches that cover it.
    pub set: Set,
}

/// The table from which the kernel side tells what a new unit's group gets.
///
/// A unit's parent is a slice, so there are only as many sets above it as there are watched slices; each
/// name gets an entry below each of them.
pub fn names(watches: &Watches) -> Vec<NamePlan> {
    let slices_above = |slice: &str| -> Set {
        let above: Vec<_> = slice_ancestors(slice).collect();
        let covers = |w: &Watch| w.is_slice() && above.iter().any(|s| w.matches(s));
        watches.iter().filter(|(_, w)| covers(w)).map(|(id, _)| *id).collect()
    };
    let mut parents: Vec<Set> =
        watches.values().filter(|w| w.is_slice()).map(|w| slices_above(&w.name())).collect();
    parents.push(Set::new());
    parents.sort();
    parents.dedup();
    let mut plans = Vec::new();
    for name in watches.values().map(Watch::name) {
        for parent in &parents {
            let matches = |w: &Watch| w.matches(&name) || w.name() == name;
            let covers = |id: &WatchId, w: &Watch| matches(w) || parent.contains(id);
            let set = watches.iter().filter(|(id, w)| covers(id, w)).map(|(id, _)| *id).collect();
            plans.push(NamePlan { parent: parent.clone(), name: name.clone(), set });
        }
    }
    plans.sort();
    plans.dedup();
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches(targets: &[(&str, &str)]) -> Watches {
        let watch = |(i, (target, id)): (usize, &(&str, &str))| {
            let watch = Watch {
                target: Target::parse(target).unwrap(),
                events: EventSet::default(),
                origin: Origin::RunTime,
                unit_log: false,
                capture: 0,
                set_up: false,
                resolution: Resolution { id: (*id).to_owned(), running: Vec::new() },
            };
            (u32::try_from(i).unwrap() + 1, watch)
        };
        targets.iter().enumerate().map(watch).collect()
    }

    #[test]
    fn units_instances_slices_and_aliases_are_covered() {
        let watches = watches(&[
            ("nginx.service", "nginx.service"),
            ("getty@.service", "getty@.service"),
            ("web.slice", "web.slice"),
            ("mysql.service", "mariadb.service"),
        ]);
        for (group, expected) in [
            ("/system.slice/nginx.service", vec![1]),
            ("/system.slice/nginx.service/child/x", vec![1]),
            ("/web.slice/nginx.service", vec![1, 3]),
            ("/web.slice/web-a.slice/other.service", vec![3]),
            ("/web.slice", vec![3]),
            ("/system.slice/system-getty.slice/getty@tty1.service", vec![2]),
            ("/system.slice/mariadb.service", vec![4]),
            ("/system.slice/other.service", vec![]),
            ("/system.slice/other.service/nginx.service", vec![]),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service", vec![]),
            ("/", vec![]),
        ] {
            assert_eq!(covering(&watches, group), expected, "{group}");
        }
    }

    #[test]
    fn journald_is_covered_by_itself_and_by_the_slices_above() {
        for (target, covered) in [
            ("systemd-journald.service", true),
            ("system.slice", true),
            ("-.slice", true),
            ("user.slice", false),
            ("traceleftd.service", false),
        ] {
            assert_eq!(covers_journald(&watches(&[(target, target)])), covered, "{target}");
        }
    }

    #[test]
    fn root_slice_covers_all() {
        let watches = watches(&[("-.slice", "-.slice")]);
        for group in ["/", "/init.scope", "/system.slice/a.service/b"] {
            assert_eq!(covering(&watches, group), [1], "{group}");
        }
    }

    /// Parent by parent and name by name, the table says what `covering` says.
    #[test]
    fn table_agrees_with_covering() {
        let watches = watches(&[
            ("a.service", "a.service"),
            ("a.slice", "a.slice"),
            ("a-b.slice", "a-b.slice"),
            ("t@.service", "t@.service"),
            ("t@1.service", "t@1.service"),
            ("-.slice", "-.slice"),
        ]);
        let plans = names(&watches);
        for (parent, unit, key) in [
            ("/system.slice", "a.service", "a.service"),
            ("/a.slice", "a.service", "a.service"),
            ("/a.slice/a-b.slice", "a.service", "a.service"),
            ("/a.slice/a-b.slice", "t@1.service", "t@1.service"),
            ("/a.slice/a-b.slice", "t@2.service", "t@.service"),
            ("/a.slice", "a-b.slice", "a-b.slice"),
            ("", "a.slice", "a.slice"),
        ] {
            let above = covering(&watches, if parent.is_empty() { "/" } else { parent });
            let plan = plans.iter().find(|p| p.parent == above && p.name == key);
            assert_eq!(plan.map(|p| p.set.clone()), Some(covering(&watches, &format!("{parent}/{unit}"))));
        }
    }
}
