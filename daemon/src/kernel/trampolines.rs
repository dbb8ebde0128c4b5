//! The programs built once more for trampolines (fentry and fexit), which a kernel attaches by its own description of
//! its functions: the same source, the same maps.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Func;
use libbpf_rs::{MapCore, MapHandle, ObjectBuilder};

use super::{Error, Kernel, ROUND, keep, program_name};
use crate::attach::{self, ProgramCounts};
use crate::service;

/// The object, as `build.rs` makes it.
const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/traceleft-fentry.bpf.o"));

/// That of the skeleton.
const OBJECT_NAME: &str = "traceleft_bpf";

/// As new as what the programs call: `bpf_get_func_ret()` is of the same version, 5.17.
const NEWEST_HELPER: &str = "bpf_loop";

/// Between a program's name and that of the function it is loaded for.
const OF_FUNCTION: char = '@';

/// A program, and the function that it is loaded for.
pub type Hook = (&'static str, &'static str);

/// Those of these functions that the kernel describes; none if it is too old for the programs.
fn described(functions: &HashSet<&'static str>) -> HashSet<&'static str> {
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
fn load(hooks: &[Hook], maps: &[MapHandle]) -> libbpf_rs::Result<Vec<(Hook, OwnedFd)>> {
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

/// By what a program of a trampoline is known: it is loaded for one function.
fn hook_name((program, function): Hook) -> String {
    format!("{program}{OF_FUNCTION}{function}")
}

/// The program that has this name, or has it for one function.
pub fn program_of(name: &str) -> &str {
    name.split(OF_FUNCTION).next().unwrap_or(name)
}

impl Kernel {
    /// From now on, attaches to these functions by trampolines where it can. False if this kernel can to none.
    pub fn use_trampolines(&mut self, functions: &HashSet<&'static str>) -> bool {
        self.described = described(functions);
        attach::give_back_memory();
        !self.described.is_empty()
    }

    /// The trampoline by which a program is to be attached to the first of these functions that the kernel has.
    pub fn trampoline(&self, program: &'static str, functions: &[&'static str]) -> Option<Hook> {
        let function = functions.iter().find(|f| self.described.contains(*f))?;
        Some((program, *function)).filter(|hook| !self.refused.contains(hook))
    }

    /// Loads those of these programs that have not been loaded yet. What the kernel refuses is
    /// [no trampoline](Self::trampoline) from then on.
    pub fn load_trampolines(&mut self, hooks: impl Iterator<Item = Hook>) -> Result<(), Error> {
        let mut missing: Vec<_> = hooks.filter(|hook| !self.loaded.contains_key(&hook_name(*hook))).collect();
        let any = !missing.is_empty();
        while !missing.is_empty() {
            let mut programs = HashSet::new();
            let (round, rest) = missing
                .into_iter()
                .partition(|(program, _)| programs.len() < ROUND && programs.insert(*program));
            missing = rest;
            self.load_round(round)?;
        }
        if any {
            attach::give_back_memory();
        }
        Ok(())
    }

    /// One that is refused has the others refused with it, so it is looked for.
    fn load_round(&mut self, mut hooks: Vec<Hook>) -> Result<(), Error> {
        // Each try takes seconds on a slow machine.
        service::at_work();
        match load(&hooks, &self.all_maps) {
            Ok(loaded) => {
                for (hook, program) in loaded {
                    keep(&program_name(&hook_name(hook)), program.as_fd())?;
                    self.loaded.insert(hook_name(hook), program);
                }
                Ok(())
            }
            Err(error) if hooks.len() == 1 => {
                for hook in hooks {
                    self.refuse(hook, &error);
                }
                Ok(())
            }
            Err(_) => {
                let rest = hooks.split_off(hooks.len() / 2);
                self.load_round(hooks)?;
                self.load_round(rest)
            }
        }
    }

    /// Attaches a program to its function by a trampoline, until the descriptor is closed. What the kernel refuses is
    /// [no trampoline](Self::trampoline) from then on.
    pub fn attach_trampoline(&mut self, hook: Hook) -> Option<OwnedFd> {
        let to = format!("the kernel function {}", hook.1);
        match self.attach_with(&hook_name(hook), &to, attach::trampoline) {
            Ok(link) => Some(link),
            Err(error) => {
                self.refuse(hook, &error.source);
                None
            }
        }
    }

    fn refuse(&mut self, hook: Hook, error: &libbpf_rs::Error) {
        let (program, function) = hook;
        log::info!("{program} is attached to {function} by a kprobe, not by a trampoline: {error:#}");
        self.refused.insert(hook);
    }

    /// What the kernel has counted of a program; nothing if it is not loaded.
    pub fn trampoline_counts(&self, hook: Hook) -> ProgramCounts {
        self.program_counts(&hook_name(hook))
    }
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
