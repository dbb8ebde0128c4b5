//! Which watches cover which control groups. Pure: the kernel side applies the same rules to a new group by
//! its parent and its name, from the table made here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::control::{Origin, Resolution, WatchId};
use crate::event::EventSet;
use crate::kernel::{PATTERN_STATES, kernel_name};
use crate::pattern::{Automaton, DEAD, Pattern, START, SetId, TooMany, is_pattern};
use crate::unit_name::{
    ROOT_SLICE, Target, name_bytes, place_of, slice_ancestors, template_of, template_parts,
};

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
}

/// States for the names of all watched slices, which only the daemon has.
const SLICE_STATES: usize = 1 << 16;

/// What [`TooMany`] means for who asked.
pub const TOO_MANY_PATTERNS: &str = "The patterns of all watches together have too many cases: use fewer of them, or \
    fewer \"*\" and \"?\" in each.";

/// The watches, by what they cover.
#[derive(Debug, Default)]
pub struct Cover {
    /// By the name of a unit (with aliases also their unit's), of a template, or a pattern.
    by_name: HashMap<String, BTreeSet<WatchId>>,
    patterns: Names,
    slices: Names,
}

/// Names and patterns, sorted, and their automaton.
#[derive(Debug, Default)]
struct Names {
    names: Vec<String>,
    automaton: Rc<Automaton>,
}

/// What a new group of a unit gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePlan {
    /// The watches that cover its parent.
    pub parent: Set,
    /// The unit's name, or its template's; empty for any other that the patterns match.
    pub name: String,
    /// For a template or any other, the set of patterns that match the unit's name.
    pub patterns: SetId,
    /// The watches that cover it.
    pub set: Set,
}

impl Cover {
    /// Puts watches together. `before` is the one until now, whose automaton stays where patterns are the same.
    pub fn new(watches: &Watches, before: &Self) -> Result<Self, TooMany> {
        let mut by_name: HashMap<String, BTreeSet<WatchId>> = HashMap::new();
        for (id, watch) in watches {
            by_name.entry(watch.name()).or_default().insert(*id);
            by_name.entry(watch.target.to_string()).or_default().insert(*id);
        }
        Ok(Self {
            by_name,
            patterns: Names::new(
                watches,
                |t| t.pattern().is_some(),
                &before.patterns,
                PATTERN_STATES as usize,
            )?,
            slices: Names::new(watches, Target::is_slice, &before.slices, SLICE_STATES)?,
        })
    }

    /// The automaton of all patterns.
    pub fn automaton(&self) -> &Rc<Automaton> {
        &self.patterns.automaton
    }

    fn of_name(&self, name: &str) -> impl Iterator<Item = WatchId> {
        self.by_name.get(name).into_iter().flatten().copied()
    }

    fn of_patterns(&self, set: SetId) -> impl Iterator<Item = WatchId> {
        self.patterns.set(set).flat_map(|name| self.of_name(name))
    }

    /// The watches that name a unit, in whatever way.
    fn naming(&self, unit: &str) -> BTreeSet<WatchId> {
        let mut set: BTreeSet<_> = self.of_name(unit).collect();
        set.extend(template_of(unit).iter().flat_map(|template| self.of_name(template)));
        set.extend(self.of_patterns(self.patterns.automaton.matched(START, unit)));
        set
    }

    /// The watches that cover a control group: of its unit, and of the slices above it.
    pub fn covering(&self, control_group: &str) -> Set {
        let place = place_of(control_group);
        let mut set = self.naming(place.unit);
        if !self.slices.names.is_empty() {
            set.extend(slice_ancestors(place.slice).flat_map(|slice| self.naming(&slice)));
        }
        set.into_iter().collect()
    }

    /// True if a watch covers journald itself.
    pub fn covers_journald(&self) -> bool {
        !self.covering(JOURNALD).is_empty()
    }

    /// The sets of watches that the slices there can be are covered by.
    ///
    /// The slices above a slice are in its name, each up to a dash. So the sets are found by going over all that names
    /// can be: a state of the watched slices' automaton, and the watches of the slices above.
    fn parents(&self) -> BTreeSet<Set> {
        let slices = &self.slices.automaton;
        let ending = |state| -> BTreeSet<WatchId> {
            self.slices.set(slices.matched(state, ".slice")).flat_map(|name| self.of_name(name)).collect()
        };
        let root = self.naming(ROOT_SLICE);
        let mut parents = BTreeSet::from([Set::new(), root.iter().copied().collect()]);
        let mut known = HashSet::new();
        let mut open = vec![(START, root)];
        while let Some((state, above)) = open.pop() {
            for c in name_bytes().filter(|c| *c != b'@') {
                let next = slices.step(state, c);
                // The root's own name begins with a dash; below one where nothing more matches is nothing new.
                if next == DEAD || c == b'-' && state == START {
                    continue;
                }
                let mut above = above.clone();
                if c == b'-' {
                    above.extend(ending(state));
                }
                if known.insert((next, above.clone())) {
                    parents.insert(above.union(&ending(next)).copied().collect());
                    open.push((next, above));
                }
            }
        }
        parents
    }

    /// The table from which the kernel side tells what a new unit's group gets.
    ///
    /// A unit's parent is a slice, so there are only as many sets above it as there can be of watched slices; each name
    /// gets an entry below each of them. An instance of a template gets one for each set of patterns that it may match.
    pub fn names(&self) -> Vec<NamePlan> {
        let mut own: Vec<(&str, SetId, BTreeSet<WatchId>)> = Vec::new();
        own.extend(self.patterns.automaton.sets().map(|(set, _)| ("", set, self.of_patterns(set).collect())));
        for name in self.by_name.keys().filter(|name| !is_pattern(name)) {
            let Some((prefix, kind)) = template_parts(name) else {
                own.push((name, 0, self.naming(name)));
                continue;
            };
            for set in self.instances(&format!("{prefix}@"), &format!(".{kind}")) {
                own.push((name, set, self.of_name(name).chain(self.of_patterns(set)).collect()));
            }
        }
        let mut plans = Vec::new();
        for parent in self.parents() {
            for (name, patterns, own) in &own {
                let set: BTreeSet<_> = own.iter().chain(&parent).copied().collect();
                plans.push(NamePlan {
                    parent: parent.clone(),
                    name: (*name).to_owned(),
                    patterns: *patterns,
                    set: set.into_iter().collect(),
                });
            }
        }
        plans.sort();
        plans
    }

    /// The sets of patterns that instances of a template may match, whose names begin and end so.
    fn instances(&self, start: &str, end: &str) -> BTreeSet<SetId> {
        let mut sets = BTreeSet::new();
        let mut known = HashSet::new();
        let mut open = vec![self.patterns.automaton.walk(START, start)];
        while let Some(state) = open.pop() {
            for c in name_bytes() {
                let next = self.patterns.automaton.step(state, c);
                if known.insert(next) {
                    sets.insert(self.patterns.automaton.matched(next, end));
                    open.push(next);
                }
            }
        }
        sets
    }
}

impl Names {
    /// Those of some of the watches, in at most as many states as this. Where they are the same as before, so is the
    /// automaton.
    fn new(
        watches: &Watches,
        wanted: fn(&Target) -> bool,
        before: &Self,
        limit: usize,
    ) -> Result<Self, TooMany> {
        let targets = watches.values().map(|w| &w.target).filter(|target| wanted(target));
        let names: Vec<_> = targets.map(Target::to_string).collect::<BTreeSet<_>>().into_iter().collect();
        if names == before.names {
            return Ok(Self { names, automaton: Rc::clone(&before.automaton) });
        }
        // Each can be read, or it would not be watched.
        let patterns =
            names.iter().map(|name| Pattern::parse(name).ok()).collect::<Option<Vec<_>>>().ok_or(TooMany)?;
        let automaton = Automaton::new(&patterns.iter().collect::<Vec<_>>(), limit)?;
        Ok(Self { names, automaton: Rc::new(automaton) })
    }

    /// Those of a set.
    fn set(&self, number: SetId) -> impl Iterator<Item = &String> {
        self.automaton.set(number).iter().filter_map(|i| self.names.get(*i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(targets: &[(&str, &str)]) -> Cover {
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
        Cover::new(&targets.iter().enumerate().map(watch).collect(), &Cover::default()).unwrap()
    }

    #[test]
    fn units_instances_slices_and_aliases_are_covered() {
        let cover = cover(&[
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
            assert_eq!(cover.covering(group), expected, "{group}");
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
            assert_eq!(cover(&[(target, target)]).covers_journald(), covered, "{target}");
        }
    }

    #[test]
    fn root_slice_covers_all() {
        let cover = cover(&[("-.slice", "-.slice")]);
        for group in ["/", "/init.scope", "/system.slice/a.service/b"] {
            assert_eq!(cover.covering(group), [1], "{group}");
        }
    }

    /// Parent by parent and name by name, the table says what `covering` says.
    #[test]
    fn table_agrees_with_covering() {
        let cover = cover(&[
            ("a.service", "a.service"),
            ("a.slice", "a.slice"),
            ("a-b.slice", "a-b.slice"),
            ("t@.service", "t@.service"),
            ("t@1.service", "t@1.service"),
            ("-.slice", "-.slice"),
        ]);
        let plans = cover.names();
        for (parent, unit, key) in [
            ("/system.slice", "a.service", "a.service"),
            ("/a.slice", "a.service", "a.service"),
            ("/a.slice/a-b.slice", "a.service", "a.service"),
            ("/a.slice/a-b.slice", "t@1.service", "t@1.service"),
            ("/a.slice/a-b.slice", "t@2.service", "t@.service"),
            ("/a.slice", "a-b.slice", "a-b.slice"),
            ("", "a.slice", "a.slice"),
        ] {
            let above = cover.covering(if parent.is_empty() { "/" } else { parent });
            let plan = plans.iter().find(|p| p.parent == above && p.name == key);
            assert_eq!(plan.map(|p| p.set.clone()), Some(cover.covering(&format!("{parent}/{unit}"))));
        }
    }

    /// What the kernel side finds for a unit below a slice: by its name, else by what patterns match it and its
    /// template, else by these patterns alone.
    fn found<'a>(cover: &Cover, plans: &'a [NamePlan], parent: &Set, unit: &str) -> Option<&'a Set> {
        let patterns = cover.automaton().matched(START, unit);
        let find = |name: &str, patterns: u32| {
            plans
                .iter()
                .find(|p| p.parent == *parent && p.name == name && p.patterns == patterns)
                .map(|p| &p.set)
        };
        let template = || template_of(unit).and_then(|template| find(&template, patterns));
        find(unit, 0).or_else(template).or_else(|| if patterns == 0 { None } else { find("", patterns) })
    }

    #[test]
    fn table_agrees_with_covering_for_patterns() {
        let cover = cover(&[
            ("web-*.service", "web-*.service"),
            ("*-a.service", "*-a.service"),
            ("web-1.service", "web-1.service"),
            ("t@.service", "t@.service"),
            ("t@*a.service", "t@*a.service"),
            ("t@b*.service", "t@b*.service"),
            ("*.service", "*.service"),
            ("x-*.slice", "x-*.slice"),
            ("x-y-z.slice", "x-y-z.slice"),
            ("?.slice", "?.slice"),
            ("*.socket", "*.socket"),
            ("old.service", "web-new.service"),
        ]);
        let plans = cover.names();
        let units = [
            "web-.service",
            "web-1.service",
            "web-2.service",
            "web-a.service",
            "b-a.service",
            "t@1.service",
            "t@a.service",
            "t@b.service",
            "t@ba.service",
            "t@-a.service",
            "other.service",
            "o.socket",
            "o.mount",
            "web-new.service",
            "old.service",
        ];
        for parent in [
            "/",
            "/system.slice",
            "/x.slice",
            "/x.slice/x-a.slice",
            "/x.slice/x-y.slice",
            "/x.slice/x-y.slice/x-y-z.slice",
            "/x.slice/x-y.slice/x-y-z.slice/x-y-z-a.slice",
            "/xx.slice/xx-y.slice",
        ] {
            let above = cover.covering(parent);
            assert!(above.is_empty() || plans.iter().any(|p| p.parent == above), "{parent}");
            for unit in units {
                let found = found(&cover, &plans, &above, unit).unwrap_or(&above);
                assert_eq!(found, &cover.covering(&format!("{parent}/{unit}")), "{parent} {unit}");
            }
        }
        // Those above a slice are in its name.
        for (parent, slice) in [
            ("", "x.slice"),
            ("/x.slice", "x-a.slice"),
            ("/x.slice", "x-y.slice"),
            ("/x.slice/x-y.slice", "x-y-z.slice"),
            ("", "xx.slice"),
        ] {
            let above = cover.covering(if parent.is_empty() { "/" } else { parent });
            let found = found(&cover, &plans, &above, slice).unwrap_or(&above);
            assert_eq!(found, &cover.covering(&format!("{parent}/{slice}")), "{parent} {slice}");
        }
    }

    #[test]
    fn patterns_that_match_what_each_other_do_have_a_set_for_each_case() {
        let cover = cover(&[("a*.service", "a*.service"), ("*b.service", "*b.service")]);
        let plans = cover.names();
        assert_eq!(plans.iter().map(|p| p.set.clone()).collect::<Vec<_>>(), [[2].as_slice(), &[1, 2], &[1]]);
    }
}
