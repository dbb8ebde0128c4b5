//! What the unit of the self-test does: each event once, to nobody but itself.
//!
//! Where an event would change something beyond the process, what is done fails at the last moment instead: an
//! attempt is an event as well.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use nix::kmod::init_module;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getgid, getuid, setgid, setuid};

use crate::event::Event;

/// Does an event.
///
/// # Errors
/// What could not be done; that is no matter if the event is an attempt only.
fn act(event: Event) -> io::Result<()> {
    match event {
        // A process that was executed, and ends.
        Event::Exec | Event::Fork | Event::Exit => child(&["--version"])?.wait().map(drop),
        Event::Open | Event::Close => File::create("file").map(drop),
        Event::Write => File::create("file")?.write_all(b"x"),
        Event::Read => {
            File::create("file")?;
            File::open("file")?.read(&mut [0; 1]).map(drop)
        }
        Event::Mkdir | Event::Rmdir => {
            fs::create_dir("directory")?;
            fs::remove_dir("directory")
        }
        Event::Rename | Event::Unlink => {
            File::create("file")?;
            fs::rename("file", "other")?;
            fs::remove_file("other")
        }
        Event::Link => {
            File::create("file")?;
            fs::hard_link("file", "link")?;
            fs::remove_file("link")
        }
        Event::Symlink => {
            symlink("file", "symlink")?;
            fs::remove_file("symlink")
        }
        Event::Mknod => {
            mknod("fifo", SFlag::S_IFIFO, Mode::S_IRUSR, 0)?;
            fs::remove_file("fifo")
        }
        Event::Truncate => {
            File::create("file")?;
            OpenOptions::new().write(true).open("file")?.set_len(1)
        }
        Event::Chmod => {
            File::create("file")?;
            fs::set_permissions("file", Permissions::from_mode(0o600))
        }
        Event::Chown => {
            File::create("file")?;
            chown("file", Some(getuid().as_raw()), None)
        }
        // Not every file system has these; then it is an attempt.
        Event::Setxattr => {
            File::create("file")?;
            xattr::set("file", "user.traceleft", b"x")
        }
        // Of the directory at its own place, in a mount namespace of its own.
        Event::Mount | Event::Umount => {
            mount(Some("."), ".", None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            Ok(umount2(".", MntFlags::MNT_DETACH)?)
        }
        Event::TcpConnect | Event::TcpAccept | Event::TcpClose | Event::Listen | Event::Bind => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            drop((client, server));
            Ok(())
        }
        Event::UdpSend => {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.send_to(b"x", socket.local_addr()?).map(drop)
        }
        Event::UnixConnect => {
            let _listener = UnixListener::bind("socket")?;
            UnixStream::connect("socket")?;
            fs::remove_file("socket")
        }
        // To what it is already.
        Event::Setuid => Ok(setuid(getuid())?),
        Event::Setgid => Ok(setgid(getgid())?),
        Event::Capset => {
            let inheritable = caps::read(None, caps::CapSet::Inheritable).map_err(io::Error::other)?;
            caps::set(None, caps::CapSet::Inheritable, &inheritable).map_err(io::Error::other)
        }
        Event::Ptrace | Event::Kill => {
            let mut child = child(&["--self-test", "wait"])?;
            let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
            if ptrace::attach(pid).is_ok() {
                waitpid(pid, None)?;
                ptrace::detach(pid, None)?;
            }
            kill(pid, Signal::SIGKILL)?;
            child.wait().map(drop)
        }
        // Of a kind that does not exist.
        Event::Bpf => libbpf_rs::MapHandle::create(
            libbpf_rs::MapType::Unspec,
            None::<&str>,
            4,
            4,
            1,
            &libbpf_rs::libbpf_sys::bpf_map_create_opts::default(),
        )
        .map(drop)
        .map_err(io::Error::other),
        // Of no bytes.
        Event::ModuleLoad => Ok(init_module(&[], c"")?),
    }
}

fn child(arguments: &[&str]) -> io::Result<Child> {
    Command::new("/proc/self/exe").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

/// Does all events once. What fails does not keep the others from being done: the daemon sees what came.
pub fn run() {
    for event in Event::all() {
        if let Err(error) = act(event) {
            eprintln!("{event}: {error}");
        }
    }
}

/// Waits to be killed, or for its parent to end.
pub fn wait() {
    let _ = io::stdin().read(&mut [0; 1]);
}
