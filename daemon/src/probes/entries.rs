//! The hooks of what makes, moves and removes names in directories.

use super::{Probe, entry, exit, optional};
use crate::event::Event;

const MKDIR: &[Event] = &[Event::Mkdir];
const RMDIR: &[Event] = &[Event::Rmdir];
const UNLINK: &[Event] = &[Event::Unlink];
const RENAME: &[Event] = &[Event::Rename];
const LINK: &[Event] = &[Event::Link];
const SYMLINK: &[Event] = &[Event::Symlink];
const MKNOD: &[Event] = &[Event::Mknod];
/// What `unlinkat` does.
const REMOVED: &[Event] = &[Event::Rmdir, Event::Unlink];

pub const PROBES: &[Probe] = &[
    exit("return_mkdir", &["do_mkdirat", "filename_mkdirat"], MKDIR),
    exit("return_rmdir", &["do_rmdir", "filename_rmdir"], RMDIR),
    exit("return_unlink", &["do_unlinkat", "filename_unlinkat"], UNLINK),
    exit("return_rename", &["do_renameat2", "filename_renameat2"], RENAME),
    exit("return_link", &["do_linkat", "filename_linkat"], LINK),
    exit("return_symlink", &["do_symlinkat", "filename_symlinkat"], SYMLINK),
    exit("return_mknod", &["do_mknodat", "filename_mknodat"], MKNOD),
    optional(exit("return_unlinkat", &["__x64_sys_unlinkat"], REMOVED)),
    optional(exit("return_unlinkat", &["__ia32_sys_unlinkat"], REMOVED)),
    exit("return_entry_made", &["vfs_mkdir"], MKDIR),
    exit("return_entry_made", &["vfs_symlink"], SYMLINK),
    exit("return_entry_made", &["vfs_mknod"], MKNOD),
    exit("return_entry_made", &["vfs_create"], MKNOD),
    entry("probe_path_mkdir", &["security_path_mkdir"], MKDIR),
    entry("probe_path_rmdir", &["security_path_rmdir"], RMDIR),
    entry("probe_path_unlink", &["security_path_unlink"], UNLINK),
    entry("probe_path_rename", &["security_path_rename"], RENAME),
    entry("probe_path_link", &["security_path_link"], LINK),
    entry("probe_path_symlink", &["security_path_symlink"], SYMLINK),
    entry("probe_path_mknod", &["security_path_mknod"], MKNOD),
    optional(entry("probe_unlinkat", &["__x64_sys_unlinkat"], REMOVED)),
    optional(entry("probe_unlinkat", &["__ia32_sys_unlinkat"], REMOVED)),
    entry("probe_mkdir", &["do_mkdirat", "filename_mkdirat"], MKDIR),
    entry("probe_rmdir", &["do_rmdir", "filename_rmdir"], RMDIR),
    entry("probe_unlink", &["do_unlinkat", "filename_unlinkat"], UNLINK),
    entry("probe_rename", &["do_renameat2", "filename_renameat2"], RENAME),
    entry("probe_link", &["do_linkat", "filename_linkat"], LINK),
    entry("probe_symlink", &["do_symlinkat", "filename_symlinkat"], SYMLINK),
    entry("probe_mknod", &["do_mknodat", "filename_mknodat"], MKNOD),
];
