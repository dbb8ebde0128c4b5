//! The hooks of what changes files: `truncate`, `chmod`, `chown`, `setxattr`.
//!
//! Where no function has all variants of a call, failures included, the system calls' own are taken: they are rare.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const CHMOD: &[Event] = &[Event::Chmod];
const CHOWN: &[Event] = &[Event::Chown];
const TRUNCATE: &[Event] = &[Event::Truncate];
const SETXATTR: &[Event] = &[Event::Setxattr];

pub const PROBES: &[Probe] = &[
    exit("return_chmod", &["do_fchmodat"], CHMOD),
    exit("return_chmod", &["__x64_sys_fchmod"], CHMOD),
    optional(exit("return_chmod", &["__ia32_sys_fchmod"], CHMOD)),
    entry("probe_chmod_path", &["chmod_common"], CHMOD),
    entry("probe_chmod", &["do_fchmodat"], CHMOD),
    entry("probe_fchmod", &["__x64_sys_fchmod"], CHMOD),
    optional(entry("probe_fchmod", &["__ia32_sys_fchmod"], CHMOD)),
    exit("return_chown", &["do_fchownat"], CHOWN),
    exit("return_chown", &["ksys_fchown"], CHOWN),
    entry("probe_chown_path", &["chown_common"], CHOWN),
    entry("probe_chown", &["do_fchownat"], CHOWN),
    entry("probe_fchown", &["ksys_fchown"], CHOWN),
    exit("return_truncate", &["__x64_sys_truncate"], TRUNCATE),
    exit("return_truncate", &["__x64_sys_ftruncate"], TRUNCATE),
    optional(exit("return_truncate", &["__ia32_compat_sys_truncate"], TRUNCATE)),
    optional(exit("return_truncate", &["__ia32_compat_sys_ftruncate"], TRUNCATE)),
    optional(exit("return_truncate", &["__ia32_sys_ia32_truncate64"], TRUNCATE)),
    optional(exit("return_truncate", &["__ia32_sys_ia32_ftruncate64"], TRUNCATE)),
    exit("return_do_truncate", &["do_truncate"], TRUNCATE),
    optional(exit("return_uring_truncate", &["do_ftruncate"], TRUNCATE)),
    entry("probe_truncate_path", &["vfs_truncate"], TRUNCATE),
    entry("probe_do_truncate", &["do_truncate"], TRUNCATE),
    optional(entry("probe_uring_truncate", &["do_ftruncate"], TRUNCATE)),
    entry("probe_truncate", &["__x64_sys_truncate"], TRUNCATE),
    entry("probe_truncate", &["__x64_sys_ftruncate"], TRUNCATE),
    optional(entry("probe_truncate", &["__ia32_compat_sys_truncate"], TRUNCATE)),
    optional(entry("probe_truncate", &["__ia32_compat_sys_ftruncate"], TRUNCATE)),
    optional(entry("probe_truncate", &["__ia32_sys_ia32_truncate64"], TRUNCATE)),
    optional(entry("probe_truncate", &["__ia32_sys_ia32_ftruncate64"], TRUNCATE)),
    exit("return_setxattr", &["__x64_sys_setxattr"], SETXATTR),
    exit("return_setxattr", &["__x64_sys_lsetxattr"], SETXATTR),
    exit("return_setxattr", &["__x64_sys_fsetxattr"], SETXATTR),
    optional(exit("return_setxattr", &["__x64_sys_setxattrat"], SETXATTR)),
    optional(exit("return_setxattr", &["__ia32_sys_setxattr"], SETXATTR)),
    optional(exit("return_setxattr", &["__ia32_sys_lsetxattr"], SETXATTR)),
    optional(exit("return_setxattr", &["__ia32_sys_fsetxattr"], SETXATTR)),
    optional(exit("return_setxattr", &["__ia32_sys_setxattrat"], SETXATTR)),
    entry("probe_set_xattr", &["vfs_setxattr"], SETXATTR),
    optional(entry("probe_set_xattr", &["do_set_acl"], SETXATTR)),
    entry("probe_want_write", &["mnt_want_write"], SETXATTR),
    entry("probe_setxattr", &["__x64_sys_setxattr"], SETXATTR),
    entry("probe_setxattr", &["__x64_sys_lsetxattr"], SETXATTR),
    entry("probe_setxattr", &["__x64_sys_fsetxattr"], SETXATTR),
    optional(entry("probe_setxattr", &["__x64_sys_setxattrat"], SETXATTR)),
    optional(entry("probe_setxattr", &["__ia32_sys_setxattr"], SETXATTR)),
    optional(entry("probe_setxattr", &["__ia32_sys_lsetxattr"], SETXATTR)),
    optional(entry("probe_setxattr", &["__ia32_sys_fsetxattr"], SETXATTR)),
    optional(entry("probe_setxattr", &["__ia32_sys_setxattrat"], SETXATTR)),
];
