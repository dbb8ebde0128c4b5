//! Names of what processes do to one another: signals, flags of `clone`, requests of `ptrace`.

use std::fmt;

/// Signals of x86 from 1 on, arch/x86/include/uapi/asm/signal.h.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];
/// The kernel's own; the C library keeps the first of these signals for itself.
const SIGRTMIN: u32 = 32;
const SIGRTMAX: u32 = 64;

/// A signal by name; a number that is none of a signal, and 0, as such.
#[derive(Clone, Copy, Debug)]
pub struct SignalName(pub u32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 1..SIGRTMIN => f.write_str(SIGNALS[number as usize - 1]),
            SIGRTMIN => f.write_str("SIGRTMIN"),
            SIGRTMAX => f.write_str("SIGRTMAX"),
            number @ SIGRTMIN..SIGRTMAX => write!(f, "SIGRTMIN+{}", number - SIGRTMIN),
            number => write!(f, "{}", number.cast_signed()),
        }
    }
}

/// Flags of `clone` and `clone3`, include/uapi/linux/sched.h.
const CLONE_FLAGS: [(u64, &str); 31] = [
    (1 << 7, "CLONE_NEWTIME"),
    (1 << 8, "CLONE_VM"),
    (1 << 9, "CLONE_FS"),
    (1 << 10, "CLONE_FILES"),
    (1 << 11, "CLONE_SIGHAND"),
    (1 << 12, "CLONE_PIDFD"),
    (1 << 13, "CLONE_PTRACE"),
    (1 << 14, "CLONE_VFORK"),
    (1 << 15, "CLONE_PARENT"),
    (1 << 16, "CLONE_THREAD"),
    (1 << 17, "CLONE_NEWNS"),
    (1 << 18, "CLONE_SYSVSEM"),
    (1 << 19, "CLONE_SETTLS"),
    (1 << 20, "CLONE_PARENT_SETTID"),
    (1 << 21, "CLONE_CHILD_CLEARTID"),
    (1 << 22, "CLONE_DETACHED"),
    (1 << 23, "CLONE_UNTRACED"),
    (1 << 24, "CLONE_CHILD_SETTID"),
    (1 << 25, "CLONE_NEWCGROUP"),
    (1 << 26, "CLONE_NEWUTS"),
    (1 << 27, "CLONE_NEWIPC"),
    (1 << 28, "CLONE_NEWUSER"),
    (1 << 29, "CLONE_NEWPID"),
    (1 << 30, "CLONE_NEWNET"),
    (1 << 31, "CLONE_IO"),
    (1 << 32, "CLONE_CLEAR_SIGHAND"),
    (1 << 33, "CLONE_INTO_CGROUP"),
    (1 << 34, "CLONE_AUTOREAP"),
    (1 << 35, "CLONE_NNP"),
    (1 << 36, "CLONE_PIDFD_AUTOKILL"),
    (1 << 37, "CLONE_EMPTY_MNTNS"),
];

/// How a process was made: flags by name, joined by `|`, and last the signal that tells of its end.
#[derive(Clone, Copy, Debug)]
pub struct CloneFlags {
    /// The flags.
    pub flags: u64,
    /// The signal; 0 if there is none.
    pub signal: u32,
}

impl fmt::Display for CloneFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.flags;
        let mut between = "";
        for (flag, name) in CLONE_FLAGS {
            if rest & flag != 0 {
                write!(f, "{between}{name}")?;
                between = "|";
                rest &= !flag;
            }
        }
        if rest != 0 {
            write!(f, "{between}0x{rest:x}")?;
            between = "|";
        }
        if self.signal != 0 || between.is_empty() {
            write!(f, "{between}{}", SignalName(self.signal))?;
        }
        Ok(())
    }
}

/// Requests of `ptrace` by the names of its manual page; include/uapi/linux/ptrace.h and that of x86.
const PTRACE_REQUESTS: [(u32, &str); 45] = [
    (0, "PTRACE_TRACEME"),
    (1, "PTRACE_PEEKTEXT"),
    (2, "PTRACE_PEEKDATA"),
    (3, "PTRACE_PEEKUSER"),
    (4, "PTRACE_POKETEXT"),
    (5, "PTRACE_POKEDATA"),
    (6, "PTRACE_POKEUSER"),
    (7, "PTRACE_CONT"),
    (8, "PTRACE_KILL"),
    (9, "PTRACE_SINGLESTEP"),
    (12, "PTRACE_GETREGS"),
    (13, "PTRACE_SETREGS"),
    (14, "PTRACE_GETFPREGS"),
    (15, "PTRACE_SETFPREGS"),
    (16, "PTRACE_ATTACH"),
    (17, "PTRACE_DETACH"),
    (18, "PTRACE_GETFPXREGS"),
    (19, "PTRACE_SETFPXREGS"),
    (21, "PTRACE_OLDSETOPTIONS"),
    (24, "PTRACE_SYSCALL"),
    (25, "PTRACE_GET_THREAD_AREA"),
    (26, "PTRACE_SET_THREAD_AREA"),
    (30, "PTRACE_ARCH_PRCTL"),
    (31, "PTRACE_SYSEMU"),
    (32, "PTRACE_SYSEMU_SINGLESTEP"),
    (33, "PTRACE_SINGLEBLOCK"),
    (0x4200, "PTRACE_SETOPTIONS"),
    (0x4201, "PTRACE_GETEVENTMSG"),
    (0x4202, "PTRACE_GETSIGINFO"),
    (0x4203, "PTRACE_SETSIGINFO"),
    (0x4204, "PTRACE_GETREGSET"),
    (0x4205, "PTRACE_SETREGSET"),
    (0x4206, "PTRACE_SEIZE"),
    (0x4207, "PTRACE_INTERRUPT"),
    (0x4208, "PTRACE_LISTEN"),
    (0x4209, "PTRACE_PEEKSIGINFO"),
    (0x420a, "PTRACE_GETSIGMASK"),
    (0x420b, "PTRACE_SETSIGMASK"),
    (0x420c, "PTRACE_SECCOMP_GET_FILTER"),
    (0x420d, "PTRACE_SECCOMP_GET_METADATA"),
    (0x420e, "PTRACE_GET_SYSCALL_INFO"),
    (0x420f, "PTRACE_GET_RSEQ_CONFIGURATION"),
    (0x4210, "PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG"),
    (0x4211, "PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG"),
    (0x4212, "PTRACE_SET_SYSCALL_INFO"),
];

/// A request of `ptrace` by name, its number if it has none here.
#[derive(Clone, Copy, Debug)]
pub struct PtraceRequest(pub u32);

impl fmt::Display for PtraceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PTRACE_REQUESTS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0.cast_signed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        for (number, name) in [
            (0, "0"),
            (1, "SIGHUP"),
            (9, "SIGKILL"),
            (31, "SIGSYS"),
            (32, "SIGRTMIN"),
            (37, "SIGRTMIN+5"),
            (64, "SIGRTMAX"),
            (65, "65"),
            (u32::MAX, "-1"),
        ] {
            assert_eq!(SignalName(number).to_string(), name);
        }
    }

    #[test]
    fn flags_and_the_signal_are_joined() {
        for (flags, signal, text) in [
            (0, 0, "0"),
            (0, 17, "SIGCHLD"),
            (0x4100, 17, "CLONE_VM|CLONE_VFORK|SIGCHLD"),
            (1 << 33, 0, "CLONE_INTO_CGROUP"),
            (1 << 60 | 1 << 8, 10, "CLONE_VM|0x1000000000000000|SIGUSR1"),
        ] {
            assert_eq!(CloneFlags { flags, signal }.to_string(), text);
        }
    }

    #[test]
    fn requests_have_their_names() {
        assert_eq!(PtraceRequest(16).to_string(), "PTRACE_ATTACH");
        assert_eq!(PtraceRequest(0x4206).to_string(), "PTRACE_SEIZE");
        assert_eq!(PtraceRequest(99).to_string(), "99");
    }
}
