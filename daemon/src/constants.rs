//! Names of the kernel's numbers: flags, errors, system calls.

mod entries;
mod privilege;
pub mod process;

use std::borrow::Cow;
use std::fmt;

use nix::errno::Errno;
use syscalls::{x86, x86_64};

use crate::skel::types::{abi, limits};

pub use entries::{Flags, file_type};
pub use privilege::{Capabilities, ModuleFlags, bpf_command, bpf_type};

/// Flags of `open`, include/uapi/asm-generic/fcntl.h; those of several bits before those they include.
const OPEN_FLAGS: [(u32, &str); 16] = [
    (0o20_200_000, "O_TMPFILE"),
    (0o4_010_000, "O_SYNC"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1_000, "O_TRUNC"),
    (0o2_000, "O_APPEND"),
    (0o4_000, "O_NONBLOCK"),
    (0o10_000, "O_DSYNC"),
    (0o20_000, "O_ASYNC"),
    (0o40_000, "O_DIRECT"),
    (0o200_000, "O_DIRECTORY"),
    (0o400_000, "O_NOFOLLOW"),
    (0o1_000_000, "O_NOATIME"),
    (0o2_000_000, "O_CLOEXEC"),
    (0o10_000_000, "O_PATH"),
];
/// The kernel sets it itself for every caller of 64 bits: it says nothing.
const O_LARGEFILE: u32 = 0o100_000;
/// `FMODE_NONOTIFY`, which the kernel keeps among the flags for itself.
const FMODE_NONOTIFY: u32 = 0o400_000_000;

/// Flags of `open` by name, joined by `|`, the access mode first.
#[derive(Clone, Copy, Debug)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// True if the call may create a file, and so has a mode.
    pub fn creates(self) -> bool {
        self.0 & 0o100 != 0 || self.0 & 0o20_200_000 == 0o20_200_000
    }
}

impl fmt::Display for OpenFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ACCESS: [&str; 4] = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"];
        f.write_str(ACCESS[(self.0 & 3) as usize])?;
        let mut rest = self.0 & !(3 | O_LARGEFILE | FMODE_NONOTIFY);
        for (flag, name) in OPEN_FLAGS {
            if rest & flag == flag {
                f.write_str("|")?;
                f.write_str(name)?;
                rest &= !flag;
            }
        }
        if rest != 0 {
            write!(f, "|0x{rest:x}")?;
        }
        Ok(())
    }
}

/// An error by name, `result` being negative. Restarts that user space does not see have names as well.
#[derive(Clone, Copy, Debug)]
pub struct ErrorName(pub i32);

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.wrapping_neg();
        match Errno::from_raw(number) {
            Errno::UnknownErrno => match number {
                512 => f.write_str("ERESTARTSYS"),
                513 => f.write_str("ERESTARTNOINTR"),
                514 => f.write_str("ERESTARTNOHAND"),
                516 => f.write_str("ERESTART_RESTARTBLOCK"),
                _ => write!(f, "{number}"),
            },
            // Where two names have one number, the one of the manual pages.
            Errno::EAGAIN => f.write_str("EAGAIN"),
            errno => write!(f, "{errno:?}"),
        }
    }
}

/// Name of the door through which a call came.
pub fn abi_name(number: u32) -> &'static str {
    match abi(number) {
        abi::ABI_I386 => "i386",
        abi::ABI_X32 => "x32",
        abi::ABI_IO_URING => "io_uring",
        _ => "x86-64",
    }
}

/// Name of a system call, its number if it has none here; `None` if there was none.
pub fn syscall_name(door: u32, number: u32) -> Option<Cow<'static, str>> {
    if number == limits::NO_SYSCALL.0 {
        return None;
    }
    let index = number as usize;
    let name = match (abi(door), number) {
        (abi::ABI_I386, _) => x86::Sysno::new(index).map(|s| s.name()),
        // The calls that x32 has instead of those of x86-64, arch/x86/entry/syscalls/syscall_64.tbl.
        (abi::ABI_X32, 520) => Some("execve"),
        (abi::ABI_X32, 545) => Some("execveat"),
        (abi::ABI_X32, 518) => Some("sendmsg"),
        (abi::ABI_X32, 538) => Some("sendmmsg"),
        (abi::ABI_X32, 521) => Some("ptrace"),
        (abi::ABI_X32, 524) => Some("rt_sigqueueinfo"),
        (abi::ABI_X32, 536) => Some("rt_tgsigqueueinfo"),
        _ => x86_64::Sysno::new(index).map(|s| s.name()),
    };
    Some(name.map_or_else(|| number.to_string().into(), Cow::Borrowed))
}

/// Address families, include/linux/socket.h.
const FAMILIES: [(u32, &str); 17] = [
    (1, "unix"),
    (2, "inet"),
    (3, "ax25"),
    (4, "ipx"),
    (5, "appletalk"),
    (10, "inet6"),
    (15, "key"),
    (16, "netlink"),
    (17, "packet"),
    (21, "rds"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (38, "alg"),
    (40, "vsock"),
    (43, "smc"),
    (44, "xdp"),
];

/// Types of sockets, include/linux/net.h.
const SOCKET_TYPES: [(u32, &str); 7] =
    [(1, "stream"), (2, "dgram"), (3, "raw"), (4, "rdm"), (5, "seqpacket"), (6, "dccp"), (10, "packet")];

fn named<'a>(names: &[(u32, &'a str)], number: u32) -> Cow<'a, str> {
    let found = names.iter().find(|(n, _)| *n == number);
    found.map_or_else(|| number.to_string().into(), |(_, name)| (*name).into())
}

/// Name of an address family, its number if it has none here.
pub fn family_name(number: u32) -> Cow<'static, str> {
    named(&FAMILIES, number)
}

/// Name of a type of sockets, its number if it has none here.
pub fn socket_type_name(number: u32) -> Cow<'static, str> {
    named(&SOCKET_TYPES, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_their_names() {
        for (flags, text) in [
            (0, "O_RDONLY"),
            (0o2_100_002, "O_RDWR|O_CLOEXEC"),
            (0o1_101, "O_WRONLY|O_CREAT|O_TRUNC"),
            (0o20_200_002, "O_RDWR|O_TMPFILE"),
            (0o200_000, "O_RDONLY|O_DIRECTORY"),
            (0o4_010_001, "O_WRONLY|O_SYNC"),
            (0o10_001, "O_WRONLY|O_DSYNC"),
            (0x4000_0000, "O_RDONLY|0x40000000"),
        ] {
            assert_eq!(OpenFlags(flags).to_string(), text, "{flags:o}");
        }
    }

    #[test]
    fn errors_and_calls_have_their_names() {
        assert_eq!(ErrorName(-2).to_string(), "ENOENT");
        assert_eq!(ErrorName(-11).to_string(), "EAGAIN");
        assert_eq!(ErrorName(-512).to_string(), "ERESTARTSYS");
        assert_eq!(ErrorName(-9999).to_string(), "9999");
        assert_eq!(syscall_name(abi::ABI_X86_64.0, 257), Some("openat".into()));
        assert_eq!(syscall_name(abi::ABI_I386.0, 5), Some("open".into()));
        assert_eq!(syscall_name(abi::ABI_X86_64.0, 99_999), Some("99999".into()));
        assert_eq!(syscall_name(abi::ABI_IO_URING.0, limits::NO_SYSCALL.0), None);
    }

    #[test]
    fn sockets_have_their_names() {
        assert_eq!(family_name(40), "vsock");
        assert_eq!(family_name(99), "99");
        assert_eq!(socket_type_name(5), "seqpacket");
        assert_eq!(socket_type_name(11), "11");
    }
}
