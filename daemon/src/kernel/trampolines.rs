//! The programs built once more for trampolines (fentry and fexit), which a kernel attaches by its own description of
//! its functions: the same source, the same maps.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Func;
use libbpf_rs::{MapCore, MapHandle, ObjectBuilder};

/// The object, as `build.rs` makes it.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/traceleft-fentry.bpf.o"));

/// That of the skeleton.
const OBJECT_NAME: &str = "traceleft_bpf";

/// As new as what the programs call: `bpf_get_func_ret()` is of the same version, 5.17.
const NEWEST_HELPER: &str = "bpf_loop";

/// A program, and the function that it is loaded for.
pub type Hook = (&'static str, &'static str);

/// Those of these functions that the kernel describes; none if it is too old for the programs.
pub fn described(functions: &HashSet<&'static str>) -> HashSet<&'static str> {
    let Ok(btf) = Btf::from_vmlinux() else { return HashSet::new() };
    let mut found = HashSet::new();
    let mut is_new = false;
    for name in btf.type_by_kind::<Func<'_>>().filter_map(|f| f.name()?.to_str()) {
        is_new |= name == NEWEST_HELPER;
        found.extend(functions.get(name));
    }
    if is_new { found } else { HashSet::new() }
}

/// Loads programs, each for its function; no two may be the same program, since the object has it once.
pub fn load(hooks: &[Hook], maps: &[MapHandle]) -> libbpf_rs::Result<Vec<(Hook, OwnedFd)>> {
    let mut open = ObjectBuilder::default().name(OBJECT_NAME)?.open_memory(OBJECT)?;
    for mut map in open.maps_mut() {
        // Those of variables are named after the object.
        let shared = maps.iter().find(|m| m.name() == map.name());
        let shared = shared.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        map.reuse_fd(shared.as_fd())?;
    }
    for mut program in open.progs_mut() {
        let hook = hooks.iter().find(|(name, _)| program.name() == *name);
        program.set_autoload(hook.is_some());
        if let Some((_, function)) = hook {
            program.set_attach_target(0, Some((*function).to_owned()))?;
        }
    }
    let object = open.load()?;
    let loaded = |hook: &Hook| {
        let program = object.progs().find(|p| p.name() == hook.0)?;
        Some(program.as_fd().try_clone_to_owned().map(|fd| (*hook, fd)))
    };
    Ok(hooks.iter().filter_map(loaded).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use libbpf_rs::btf::types::{DataSec, Var};

    use super::*;

    const OF_KPROBES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/traceleft.bpf.o"));

    /// What is where in the maps of variables: section, variable, offset and size.
    fn variables(object: &[u8]) -> Vec<(String, String, u32, usize)> {
        let btf = Btf::from_raw("traceleft", object).unwrap().unwrap();
        let mut found = Vec::new();
        for section in btf.type_by_kind::<DataSec<'_>>() {
            let section_name = section.name().unwrap().to_string_lossy().into_owned();
            // Maps are shared by name.
            if section_name != ".maps" {
                found.extend(section.iter().map(|place| {
                    let variable = btf.type_by_id::<Var<'_>>(place.ty).unwrap();
                    let name = variable.name().unwrap().to_string_lossy().into_owned();
                    (section_name.clone(), name, place.offset, place.size)
                }));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn both_objects_have_the_same_variables() {
        let of_kprobes = variables(OF_KPROBES);
        assert!(of_kprobes.iter().any(|(section, name, ..)| section == ".bss" && name == "own_thread"));
        assert_eq!(variables(OBJECT), of_kprobes);
    }
}
