//! Flags of what changes names in directories, and types of files.

use std::fmt;

/// Flags of `linkat` and `unlinkat`, include/uapi/linux/fcntl.h.
const AT_FLAGS: &[(u32, &str)] = &[
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x200, "AT_REMOVEDIR"),
    (0x400, "AT_SYMLINK_FOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
];
/// Flags of `renameat2`, include/uapi/linux/fs.h.
const RENAME_FLAGS: &[(u32, &str)] =
    &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")];

/// Flags by name, joined by `|`; bits without a name as one hexadecimal number. Nothing if there are none.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    bits: u32,
    names: &'static [(u32, &'static str)],
}

impl Flags {
    /// `AT_*`
    pub fn at(bits: u32) -> Self {
        Self { bits, names: AT_FLAGS }
    }

    /// `RENAME_*`
    pub fn rename(bits: u32) -> Self {
        Self { bits, names: RENAME_FLAGS }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.bits;
        let mut separator = "";
        for &(flag, name) in self.names {
            if rest & flag == flag {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !flag;
            }
        }
        if rest != 0 {
            write!(f, "{separator}0x{rest:x}")?;
        }
        Ok(())
    }
}

/// Name of the type of file in a mode; `None` if that is none. `mknod` makes a regular file of 0.
pub fn file_type(mode: u32) -> Option<&'static str> {
    match mode & 0o170_000 {
        0 | 0o100_000 => Some("regular"),
        0o010_000 => Some("fifo"),
        0o020_000 => Some("character"),
        0o040_000 => Some("directory"),
        0o060_000 => Some("block"),
        0o120_000 => Some("link"),
        0o140_000 => Some("socket"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_names_have_theirs() {
        assert_eq!(Flags::rename(5).to_string(), "RENAME_NOREPLACE|RENAME_WHITEOUT");
        assert_eq!(Flags::at(0x8000_1000).to_string(), "AT_EMPTY_PATH|0x80000000");
        assert_eq!(Flags::at(2).to_string(), "0x2");
        assert_eq!(Flags::at(0).to_string(), "");
    }
}
