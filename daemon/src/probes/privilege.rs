//! The hooks of `@privilege`.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const SETUID: &[Event] = &[Event::Setuid];
const SETGID: &[Event] = &[Event::Setgid];
const CAPSET: &[Event] = &[Event::Capset];
const BPF: &[Event] = &[Event::Bpf];
const MODULE_LOAD: &[Event] = &[Event::ModuleLoad];

pub const PROBES: &[Probe] = &[
    exit("return_setuid", &["__sys_setuid"], SETUID),
    exit("return_setuid", &["__sys_setreuid"], SETUID),
    exit("return_setuid", &["__sys_setresuid"], SETUID),
    exit("return_setfsuid", &["__sys_setfsuid"], SETUID),
    entry("probe_setuid", &["__sys_setuid"], SETUID),
    entry("probe_setreuid", &["__sys_setreuid"], SETUID),
    entry("probe_setresuid", &["__sys_setresuid"], SETUID),
    entry("probe_setfsuid", &["__sys_setfsuid"], SETUID),
    exit("return_setgid", &["__sys_setgid"], SETGID),
    exit("return_setgid", &["__sys_setregid"], SETGID),
    exit("return_setgid", &["__sys_setresgid"], SETGID),
    exit("return_setfsgid", &["__sys_setfsgid"], SETGID),
    entry("probe_setgid", &["__sys_setgid"], SETGID),
    entry("probe_setregid", &["__sys_setregid"], SETGID),
    entry("probe_setresgid", &["__sys_setresgid"], SETGID),
    entry("probe_setfsgid", &["__sys_setfsgid"], SETGID),
    exit("return_capset", &["__x64_sys_capset"], CAPSET),
    optional(exit("return_capset", &["__ia32_sys_capset"], CAPSET)),
    entry("probe_capset_check", &["security_capset"], CAPSET),
    entry("probe_capset", &["__x64_sys_capset"], CAPSET),
    optional(entry("probe_capset", &["__ia32_sys_capset"], CAPSET)),
    exit("return_bpf", &["__x64_sys_bpf"], BPF),
    optional(exit("return_bpf", &["__ia32_sys_bpf"], BPF)),
    entry("probe_bpf_check", &["security_bpf"], BPF),
    entry("probe_bpf", &["__x64_sys_bpf"], BPF),
    optional(entry("probe_bpf", &["__ia32_sys_bpf"], BPF)),
    exit("return_module", &["__x64_sys_init_module"], MODULE_LOAD),
    optional(exit("return_module", &["__ia32_sys_init_module"], MODULE_LOAD)),
    exit("return_module", &["__x64_sys_finit_module"], MODULE_LOAD),
    optional(exit("return_module", &["__ia32_sys_finit_module"], MODULE_LOAD)),
    entry("probe_module_parameters", &["parse_args"], MODULE_LOAD),
    // For the name of a module that is refused: one of them is called before, which one depends on the kernel.
    optional(entry("probe_module_sections", &["module_frob_arch_sections"], MODULE_LOAD)),
    optional(entry("probe_module_search", &["find_module_all"], MODULE_LOAD)),
    entry("probe_kernel_read_file", &["security_kernel_read_file"], MODULE_LOAD),
    entry("probe_init_module", &["__x64_sys_init_module"], MODULE_LOAD),
    optional(entry("probe_init_module", &["__ia32_sys_init_module"], MODULE_LOAD)),
    entry("probe_finit_module", &["__x64_sys_finit_module"], MODULE_LOAD),
    optional(entry("probe_finit_module", &["__ia32_sys_finit_module"], MODULE_LOAD)),
];
