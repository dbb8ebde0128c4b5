//! Flags of calls that change files and mounts, by name.

use std::fmt;

/// A call's flags, and the names that they have there.
#[derive(Clone, Copy, Debug)]
pub struct Flags(pub u32, pub &'static [(u32, &'static str)]);

impl Flags {
    /// True if none is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Names joined by `|`; bits without a name as one hexadecimal number.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(mut rest, names) = *self;
        let mut separator = "";
        for &(flag, name) in names {
            if rest & flag == flag {
                f.write_str(separator)?;
                f.write_str(name)?;
                separator = "|";
                rest &= !flag;
            }
        }
        if rest == 0 { Ok(()) } else { write!(f, "{separator}0x{rest:x}") }
    }
}

/// include/uapi/linux/fcntl.h
pub const AT: &[(u32, &str)] = &[
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x400, "AT_SYMLINK_FOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
    (0x8000, "AT_RECURSIVE"),
];

/// include/uapi/linux/xattr.h
pub const XATTR: &[(u32, &str)] = &[(1, "XATTR_CREATE"), (2, "XATTR_REPLACE")];

/// `mount`, include/uapi/linux/mount.h
pub const MS: &[(u32, &str)] = &[
    (1, "MS_RDONLY"),
    (1 << 1, "MS_NOSUID"),
    (1 << 2, "MS_NODEV"),
    (1 << 3, "MS_NOEXEC"),
    (1 << 4, "MS_SYNCHRONOUS"),
    (1 << 5, "MS_REMOUNT"),
    (1 << 6, "MS_MANDLOCK"),
    (1 << 7, "MS_DIRSYNC"),
    (1 << 8, "MS_NOSYMFOLLOW"),
    (1 << 10, "MS_NOATIME"),
    (1 << 11, "MS_NODIRATIME"),
    (1 << 12, "MS_BIND"),
    (1 << 13, "MS_MOVE"),
    (1 << 14, "MS_REC"),
    (1 << 15, "MS_SILENT"),
    (1 << 16, "MS_POSIXACL"),
    (1 << 17, "MS_UNBINDABLE"),
    (1 << 18, "MS_PRIVATE"),
    (1 << 19, "MS_SLAVE"),
    (1 << 20, "MS_SHARED"),
    (1 << 21, "MS_RELATIME"),
    (1 << 22, "MS_KERNMOUNT"),
    (1 << 23, "MS_I_VERSION"),
    (1 << 24, "MS_STRICTATIME"),
    (1 << 25, "MS_LAZYTIME"),
];

/// The kernel takes the upper half of `mount`'s flags for nothing if it is this.
const MS_MGC_VAL: u32 = 0xc0ed_0000;

/// Flags of `mount` without what old programs add to them.
pub fn without_magic(flags: u32) -> u32 {
    if flags & 0xffff_0000 == MS_MGC_VAL { flags & 0xffff } else { flags }
}

/// `umount2`, include/linux/fs.h
pub const UMOUNT: &[(u32, &str)] =
    &[(1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW")];

/// include/uapi/linux/mount.h
pub const MOVE_MOUNT: &[(u32, &str)] = &[
    (1, "MOVE_MOUNT_F_SYMLINKS"),
    (2, "MOVE_MOUNT_F_AUTOMOUNTS"),
    (4, "MOVE_MOUNT_F_EMPTY_PATH"),
    (0x10, "MOVE_MOUNT_T_SYMLINKS"),
    (0x20, "MOVE_MOUNT_T_AUTOMOUNTS"),
    (0x40, "MOVE_MOUNT_T_EMPTY_PATH"),
    (0x100, "MOVE_MOUNT_SET_GROUP"),
    (0x200, "MOVE_MOUNT_BENEATH"),
];

/// include/uapi/linux/mount.h
pub const FSMOUNT: &[(u32, &str)] = &[(1, "FSMOUNT_CLOEXEC")];

/// include/uapi/linux/mount.h; the others are those of `AT`.
pub const OPEN_TREE: &[(u32, &str)] = &[
    (1, "OPEN_TREE_CLONE"),
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
    (0x8000, "AT_RECURSIVE"),
    (0o2_000_000, "OPEN_TREE_CLOEXEC"),
];

/// include/uapi/linux/mount.h; how access times are kept is a number of its own, 0 being the kernel's default.
pub const MOUNT_ATTR: &[(u32, &str)] = &[
    (1, "MOUNT_ATTR_RDONLY"),
    (2, "MOUNT_ATTR_NOSUID"),
    (4, "MOUNT_ATTR_NODEV"),
    (8, "MOUNT_ATTR_NOEXEC"),
    (0x70, "MOUNT_ATTR__ATIME"),
    (0x10, "MOUNT_ATTR_NOATIME"),
    (0x20, "MOUNT_ATTR_STRICTATIME"),
    (0x80, "MOUNT_ATTR_NODIRATIME"),
    (0x10_0000, "MOUNT_ATTR_IDMAP"),
    (0x20_0000, "MOUNT_ATTR_NOSYMFOLLOW"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_their_names() {
        for (flags, text) in [
            (Flags(0x1100, AT), "AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH"),
            (Flags(4 | 0x4000_0000, UMOUNT), "MNT_EXPIRE|0x40000000"),
            (Flags(0x80, XATTR), "0x80"),
            (Flags(0x71, MOUNT_ATTR), "MOUNT_ATTR_RDONLY|MOUNT_ATTR__ATIME"),
            (Flags(without_magic(MS_MGC_VAL | 0x1001), MS), "MS_RDONLY|MS_BIND"),
        ] {
            assert_eq!(flags.to_string(), text);
        }
        assert!(Flags(0, AT).is_empty());
    }
}
