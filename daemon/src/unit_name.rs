//! Names of units: what a watch may target, and which unit a control group belongs to.
//!
//! The rules are systemd's own (`src/basic/unit-name.c`, `src/basic/cgroup-util.c`; the same in all
//! versions from 247 on). Nothing here asks systemd: a name that passes may still be of a unit that is
//! not there.

use std::fmt;
use std::iter;

use crate::pattern::{Pattern, is_pattern};

/// The slice that holds all others; its control group is the root.
pub const ROOT_SLICE: &str = "-.slice";

/// Longest unit name in bytes (`UNIT_NAME_MAX` counts the terminating zero).
const NAME_MAX: usize = 255;
/// Types of units that have a control group.
const GROUPED_TYPES: [&str; 6] = ["service", "scope", "slice", "socket", "mount", "swap"];
/// Types of units that never have one.
const OTHER_TYPES: [&str; 5] = ["target", "device", "automount", "timer", "path"];
/// Of the types with a control group, those that may be templates (`unit_type_may_template`).
const TEMPLATE_TYPES: [&str; 2] = ["service", "socket"];

/// What a watch targets: a unit, all instances of a template (`name@.service`), or all units that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(String);

impl Target {
    /// Reads the name of a unit or template that can have a control group, or a pattern of such names.
    ///
    /// # Errors
    /// [`InvalidUnitName`] says what is wrong with it and what was expected.
    pub fn parse(name: &str) -> Result<Self, InvalidUnitName> {
        match check_target(name) {
            Ok(()) => Ok(Self(name.to_owned())),
            Err(reason) => Err(InvalidUnitName { name: name.to_owned(), reason }),
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it means every instance of a template.
    pub fn is_template(&self) -> bool {
        template_parts(&self.0).is_some()
    }

    /// The pattern, if it is one.
    pub fn pattern(&self) -> Option<Pattern> {
        if is_pattern(&self.0) { Pattern::parse(&self.0).ok() } else { None }
    }

    /// True if it may mean more than one unit, of which none need be called like it.
    pub fn is_many(&self) -> bool {
        self.is_template() || is_pattern(&self.0)
    }

    /// True if it is a slice, or a pattern of slices: their control groups hold those of other units.
    pub fn is_slice(&self) -> bool {
        self.0.rsplit_once('.').is_some_and(|(_, kind)| kind == "slice")
    }

    /// True if the unit of this name is meant: the target itself, an instance of its template, or what its pattern
    /// matches.
    pub fn matches(&self, unit: &str) -> bool {
        match self.pattern() {
            Some(pattern) => pattern.matches(unit),
            None if self.is_template() => template_of(unit).is_some_and(|template| self.0 == template),
            None => self.0 == unit,
        }
    }
}

/// What comes before the `@` of a template, and its type.
pub fn template_parts(name: &str) -> Option<(&str, &str)> {
    match Parts::of(name) {
        Ok(Parts { prefix, instance: Some(""), kind }) => Some((prefix, kind)),
        _ => None,
    }
}

/// The template that a unit is an instance of.
pub fn template_of(unit: &str) -> Option<String> {
    match Parts::of(unit) {
        Ok(Parts { prefix, instance: Some(instance), kind }) if !instance.is_empty() => {
            Some(format!("{prefix}@.{kind}"))
        }
        _ => None,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that is not one of a unit with a control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUnitName {
    name: String,
    reason: String,
}

impl fmt::Display for InvalidUnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot watch {:?}: {}", self.name, self.reason)
    }
}

impl std::error::Error for InvalidUnitName {}

/// A unit name taken apart: `prefix@instance.kind`.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    prefix: &'a str,
    /// Empty for a template; `None` for a unit without `@`.
    instance: Option<&'a str>,
    kind: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a name apart by the rules for all types of units (`unit_name_is_valid`).
    fn of(name: &'a str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("it is empty; expected the name of a unit, like nginx.service".to_owned());
        }
        if name.starts_with('/') {
            return Err("it is a path; expected the name of a unit, like nginx.service \
                        (for a mount point: systemd-escape --path --suffix=mount PATH)"
                .to_owned());
        }
        let (stem, kind) = stem_and_kind(name)?;
        stem.chars().try_for_each(check_character)?;
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        if prefix.is_empty() {
            return Err("there is no name before the suffix or the @".to_owned());
        }
        Ok(Self { prefix, instance, kind })
    }
}

/// The bytes that the names of units may have.
pub fn name_bytes() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(|byte| is_name_character(char::from(*byte)))
}

/// True if the names of units may have it.
fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":-_.\\@".contains(c)
}

/// Refuses what the names of units do not have.
pub fn check_character(c: char) -> Result<(), String> {
    if is_name_character(c) {
        return Ok(());
    }
    Err(format!(
        "{c:?} is not allowed in a unit name; allowed are letters, digits and : - _ . \\ @ (systemd-escape \
         escapes others)"
    ))
}

/// Takes off the type of a unit.
fn stem_and_kind(name: &str) -> Result<(&str, &str), String> {
    if name.len() > NAME_MAX {
        return Err(format!("it has {} bytes; a unit name has at most {NAME_MAX}", name.len()));
    }
    match name.rsplit_once('.') {
        Some((stem, kind)) if GROUPED_TYPES.contains(&kind) || OTHER_TYPES.contains(&kind) => {
            Ok((stem, kind))
        }
        _ => Err(no_suffix(name)),
    }
}

/// Says that a name ends in no type of unit, and which name may be meant.
fn no_suffix(name: &str) -> String {
    let list = GROUPED_TYPES.join(", .");
    if is_pattern(name) {
        return format!("a pattern, too, must end in a type of unit, one of .{list}, as in web-*.service");
    }
    let guess = format!("{name}.service");
    let hint = if Parts::of(&guess).is_ok() { format!("; did you mean {guess}?") } else { String::new() };
    format!("it does not end in a type of unit, one of .{list}{hint}")
}

/// The rules for targets, beyond those for all unit names.
fn check_target(name: &str) -> Result<(), String> {
    if is_pattern(name) {
        return check_pattern(name);
    }
    let Parts { prefix, instance, kind } = Parts::of(name)?;
    check_kind(kind, instance.is_some())?;
    let dashes_wrong = prefix.starts_with('-') || prefix.ends_with('-') || prefix.contains("--");
    if kind == "slice" && name != ROOT_SLICE && dashes_wrong {
        return Err("the - in the name of a slice separates it from its parent slice: there must be a name \
                    on both sides of each"
            .to_owned());
    }
    Ok(())
}

/// The rules for patterns. What no unit's name can match is refused.
fn check_pattern(name: &str) -> Result<(), String> {
    let (stem, kind) = stem_and_kind(name)?;
    check_kind(kind, stem.contains('@'))?;
    if stem.ends_with('@') {
        return Err(format!(
            "only templates have a name that ends in @.{kind}, and they do not run; for all instances of them \
             write {stem}*.{kind}"
        ));
    }
    Pattern::parse(name).map(drop)
}

/// Refuses types of units without a control group, and instances of what has no templates.
fn check_kind(kind: &str, is_instance: bool) -> Result<(), String> {
    if OTHER_TYPES.contains(&kind) {
        return Err(format!(
            "no {kind} unit has a control group, so no process runs in it; name the unit that it \
             activates or contains"
        ));
    }
    if is_instance && !TEMPLATE_TYPES.contains(&kind) {
        return Err(format!(
            "a {kind} unit has no templates and no instances; only .{} have them",
            TEMPLATE_TYPES.join(" and .")
        ));
    }
    Ok(())
}

/// Where a control group is among the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The unit that it belongs to: the outermost one that is no slice, or the innermost slice if its path
    /// has only slices, or if no unit of systemd owns it.
    pub unit: &'a str,
    /// The slice that holds the unit; [`ROOT_SLICE`] for that slice itself.
    pub slice: &'a str,
}

/// Finds the unit and slice of a control group by its path below the root of the hierarchy
/// (`cg_path_get_unit`, `cg_path_get_slice`).
///
/// What a unit makes below its own control group (`Delegate=yes`, a user manager's units) is that unit's.
/// A group that somebody made by hand beside the units has no unit of its own: it counts as its slice's.
pub fn place_of(control_group: &str) -> Place<'_> {
    let mut place = Place { unit: ROOT_SLICE, slice: ROOT_SLICE };
    for component in control_group.split('/').filter(|c| !c.is_empty()) {
        // One leading underscore keeps a name apart from the kernel's own files (`cg_escape`).
        let name = component.strip_prefix('_').unwrap_or(component);
        match Parts::of(name) {
            Ok(Parts { instance: None, kind: "slice", .. }) => {
                place = Place { unit: name, slice: place.unit };
            }
            Ok(Parts { instance, kind, .. }) if instance != Some("") && kind != "slice" => {
                return Place { unit: name, slice: place.unit };
            }
            _ => break,
        }
    }
    place
}

/// The control group of the unit that a control group belongs to: itself, or one above it.
pub fn unit_group(control_group: &str) -> &str {
    let unit = place_of(control_group).unit;
    let mut end = 0;
    for component in control_group.split('/') {
        end += component.len();
        if component.strip_prefix('_').unwrap_or(component) == unit {
            return &control_group[..end];
        }
        end += 1;
    }
    control_group
}

/// A slice and all that hold it, innermost first: `a-b.slice`, `a.slice`, `-.slice`.
pub fn slice_ancestors(slice: &str) -> impl Iterator<Item = String> {
    iter::successors(Some(slice.to_owned()), |slice| {
        if slice == ROOT_SLICE {
            return None;
        }
        let stem = slice.strip_suffix(".slice").unwrap_or(slice);
        Some(match stem.rsplit_once('-') {
            Some((parent, _)) => format!("{parent}.slice"),
            None => ROOT_SLICE.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_with_a_control_group_are_targets() {
        let longest = format!("{}.service", "a".repeat(NAME_MAX - ".service".len()));
        #[rustfmt::skip]
        let cases = [
            // name, template, slice
            ("nginx.service", false, false),
            ("php-fpm@.service", true, false),
            ("php-fpm@8.2.service", false, false),
            // All after the first @ is the instance, further ones too.
            ("ssh@a@b.service", false, false),
            ("ssh@a@.service", false, false),
            ("echo@.socket", true, false),
            ("init.scope", false, false),
            ("session-4.scope", false, false),
            ("-.slice", false, true),
            ("system.slice", false, true),
            ("system-getty.slice", false, true),
            ("-.mount", false, false),
            (r"srv-www\x2ddata.mount", false, false),
            ("web-*.service", false, false),
            ("web-[0-9]@?.socket", false, false),
            ("user-*.slice", false, true),
            (r"dev-vda2.swap", false, false),
            ("dbus-:1.2-org.freedesktop.problems@0.service", false, false),
            (".service.service", false, false),
            (longest.as_str(), false, false),
        ];
        for (name, template, slice) in cases {
            let target = Target::parse(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(target.to_string(), name);
            assert_eq!((target.is_template(), target.is_slice()), (template, slice), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        let too_long = format!("{}.service", "a".repeat(NAME_MAX - ".service".len() + 1));
        let cases = [
            ("", "it is empty"),
            ("nginx", "did you mean nginx.service?"),
            ("php-fpm@8.2", "did you mean php-fpm@8.2.service?"),
            ("nginx.", "did you mean nginx..service?"),
            ("nginx.Service", "one of .service, .scope, .slice, .socket, .mount, .swap"),
            ("/system.slice/nginx.service", "it is a path"),
            ("/", "it is a path"),
            ("system.slice/nginx.service", "'/' is not allowed"),
            ("nginx .service", "' ' is not allowed"),
            ("nginx\n.service", r"'\n' is not allowed"),
            ("nginx\0.service", r"'\0' is not allowed"),
            ("bücher.service", "'ü' is not allowed"),
            ("web-*", "a pattern, too, must end in a type of unit"),
            ("web-[ab", "a pattern, too, must end in a type of unit"),
            ("web.[s]ervice", "a pattern, too, must end in a type of unit"),
            ("web-[ab.service", "no ]"),
            ("web/*.service", "'/' is not allowed"),
            ("web*@.service", "web*@*.service"),
            ("web-*.timer", "no timer unit has a control group"),
            ("web@*.slice", "a slice unit has no templates"),
            (".service", "no name before"),
            ("@.service", "no name before"),
            ("@tty1.service", "no name before"),
            ("backup.timer", "no timer unit has a control group"),
            ("multi-user.target", "no target unit has a control group"),
            ("cups.path", "no path unit has a control group"),
            ("dev-vda.device", "no device unit has a control group"),
            ("boot.automount", "no automount unit has a control group"),
            ("machine@.slice", "a slice unit has no templates"),
            ("machine@a.slice", "a slice unit has no templates and no instances"),
            ("a@.scope", "a scope unit has no templates"),
            ("a@b.mount", "a mount unit has no templates"),
            ("a@.swap", "a swap unit has no templates"),
            ("-a.slice", "on both sides"),
            ("a-.slice", "on both sides"),
            ("a--b.slice", "on both sides"),
            ("--.slice", "on both sides"),
            (&too_long, "it has 256 bytes"),
        ];
        for (name, reason) in cases {
            let error = Target::parse(name).expect_err(name).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.starts_with(&format!("cannot watch {name:?}: ")), "{error}");
        }
        let hopeless = Target::parse("a b").unwrap_err().to_string();
        assert!(!hopeless.contains("did you mean"), "{hopeless}");
    }

    #[test]
    fn a_target_matches_itself_a_template_its_instances_and_a_pattern_what_it_says() {
        let cases = [
            ("nginx.service", "nginx.service", true),
            ("nginx.service", "nginx.socket", false),
            ("nginx.service", "nginx-debug.service", false),
            ("system.slice", "nginx.service", false),
            ("getty@.service", "getty@tty1.service", true),
            ("getty@.service", "getty@a@b.service", true),
            ("getty@.service", "getty@.service", false),
            ("getty@.service", "getty.service", false),
            ("getty@.service", "getty@tty1.socket", false),
            ("getty@.service", "serial-getty@tty1.service", false),
            ("getty@tty1.service", "getty@tty1.service", true),
            ("getty@tty1.service", "getty@tty2.service", false),
            ("getty*.service", "getty@tty2.service", true),
            ("*.service", "getty.socket", false),
            ("user-*.slice", "user-1000.slice", true),
        ];
        for (target, unit, expected) in cases {
            assert_eq!(Target::parse(target).unwrap().matches(unit), expected, "{target} {unit}");
        }
    }

    #[test]
    fn control_groups_have_the_place_that_systemd_gives_them() {
        let cases = [
            ("/", "-.slice", "-.slice"),
            ("", "-.slice", "-.slice"),
            ("/init.scope", "init.scope", "-.slice"),
            ("/system.slice", "system.slice", "-.slice"),
            ("/system.slice/nginx.service", "nginx.service", "system.slice"),
            ("//system.slice//nginx.service/", "nginx.service", "system.slice"),
            ("/system.slice/system-getty.slice", "system-getty.slice", "system.slice"),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
                "system-getty.slice",
            ),
            // What is below a unit is the unit's, whatever it is called.
            ("/system.slice/app.service/worker", "app.service", "system.slice"),
            ("/system.slice/app.service/x.slice/y.service", "app.service", "system.slice"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/vi.scope",
                "user@1000.service",
                "user-1000.slice",
            ),
            ("/user.slice/user-1000.slice/session-4.scope", "session-4.scope", "user-1000.slice"),
            // Escaped against the kernel's cpu.*, and a unit whose own name has the underscore.
            ("/system.slice/_cpu.service", "cpu.service", "system.slice"),
            ("/_memory.slice/_cpu.service", "cpu.service", "memory.slice"),
            ("/system.slice/__own.service", "_own.service", "system.slice"),
            // Not units: the slice is all that is known.
            ("/handmade", "-.slice", "-.slice"),
            ("/handmade/nginx.service", "-.slice", "-.slice"),
            ("/system.slice/handmade/nginx.service", "system.slice", "-.slice"),
            ("/machine.slice/a b.scope", "machine.slice", "-.slice"),
            ("/system.slice/getty@.service", "system.slice", "-.slice"),
            ("/system.slice/x@y.slice/nginx.service", "system.slice", "-.slice"),
        ];
        for (path, unit, slice) in cases {
            assert_eq!(place_of(path), Place { unit, slice }, "{path}");
        }
    }

    #[test]
    fn slices_have_ancestors() {
        let cases = [
            ("-.slice", vec!["-.slice"]),
            ("system.slice", vec!["system.slice", "-.slice"]),
            ("a-b.slice", vec!["a-b.slice", "a.slice", "-.slice"]),
            ("a-b-c.slice", vec!["a-b-c.slice", "a-b.slice", "a.slice", "-.slice"]),
        ];
        for (slice, expected) in cases {
            assert_eq!(slice_ancestors(slice).collect::<Vec<_>>(), expected);
        }
    }
}
