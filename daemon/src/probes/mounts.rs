//! The hooks of `mount` and `umount`.

use super::{Probe, entry, exit, newer, optional, with};
use crate::event::Event;

const MOUNT: &[Event] = &[Event::Mount];
const UMOUNT: &[Event] = &[Event::Umount];

pub const PROBES: &[Probe] = &[
    exit("return_mount", &["__x64_sys_mount"], MOUNT),
    exit("return_mount", &["__x64_sys_move_mount"], MOUNT),
    exit("return_mount", &["__x64_sys_fsmount"], MOUNT),
    exit("return_mount", &["__x64_sys_open_tree"], MOUNT),
    newer(exit("return_mount", &["__x64_sys_mount_setattr"], MOUNT)),
    newer(exit("return_mount", &["__x64_sys_open_tree_attr"], MOUNT)),
    optional(exit("return_mount", &["__ia32_sys_mount"], MOUNT)),
    optional(exit("return_mount", &["__ia32_sys_move_mount"], MOUNT)),
    optional(exit("return_mount", &["__ia32_sys_fsmount"], MOUNT)),
    optional(exit("return_mount", &["__ia32_sys_open_tree"], MOUNT)),
    newer(exit("return_mount", &["__ia32_sys_mount_setattr"], MOUNT)),
    newer(exit("return_mount", &["__ia32_sys_open_tree_attr"], MOUNT)),
    entry("probe_path_mount", &["path_mount"], MOUNT),
    entry("probe_move_mount", &["security_move_mount"], MOUNT),
    entry("probe_fsmount", &["vfs_clean_context"], MOUNT),
    optional(entry("probe_open_tree", &["open_detached_copy", "__do_loopback"], MOUNT)),
    with(
        "__x64_sys_mount_setattr",
        entry("probe_mount_setattr", &["do_mount_setattr", "do_mount_setattr.isra.0"], MOUNT),
    ),
    entry("probe_mount", &["__x64_sys_mount"], MOUNT),
    entry("probe_mount", &["__x64_sys_move_mount"], MOUNT),
    entry("probe_mount", &["__x64_sys_fsmount"], MOUNT),
    entry("probe_mount", &["__x64_sys_open_tree"], MOUNT),
    newer(entry("probe_mount", &["__x64_sys_mount_setattr"], MOUNT)),
    newer(entry("probe_mount", &["__x64_sys_open_tree_attr"], MOUNT)),
    optional(entry("probe_mount", &["__ia32_sys_mount"], MOUNT)),
    optional(entry("probe_mount", &["__ia32_sys_move_mount"], MOUNT)),
    optional(entry("probe_mount", &["__ia32_sys_fsmount"], MOUNT)),
    optional(entry("probe_mount", &["__ia32_sys_open_tree"], MOUNT)),
    newer(entry("probe_mount", &["__ia32_sys_mount_setattr"], MOUNT)),
    newer(entry("probe_mount", &["__ia32_sys_open_tree_attr"], MOUNT)),
    exit("return_umount", &["__x64_sys_umount"], UMOUNT),
    optional(exit("return_umount", &["__ia32_sys_umount"], UMOUNT)),
    optional(exit("return_umount", &["__ia32_sys_oldumount"], UMOUNT)),
    entry("probe_umount_path", &["path_umount"], UMOUNT),
    entry("probe_umount", &["__x64_sys_umount"], UMOUNT),
    optional(entry("probe_umount", &["__ia32_sys_umount"], UMOUNT)),
    optional(entry("probe_umount", &["__ia32_sys_oldumount"], UMOUNT)),
];
