"""The same programs under auditd, in the same run: its record of a call and ours agree.

Both are matched one to one: per process, in the order in which the calls ended. Where the kernel's audit differs by
its nature, DIFFERENT says so, and nothing else is left out. Of exit and tcp-close it has no calls to compare.
"""

import os
import socket
import struct
from contextlib import contextmanager
from difflib import unified_diff
from itertools import groupby, islice
from types import SimpleNamespace

import audit
import pytest
import test_changes
import test_credentials
import test_fork
import test_mounts
import test_names
from harness import PROGRAMS, cursor, make_directory, number, records, run, run_service, watching
from test_kernel_change import MODULE, module_file

# What each event's calls are called there.
CALLS = {
    "exec": {"execve", "execveat"},
    "open": {"open", "openat", "openat2", "creat", "open_by_handle_at"},
    "mkdir": {"mkdir", "mkdirat"},
    "rmdir": {"rmdir", "unlinkat"},
    "unlink": {"unlink", "unlinkat"},
    "rename": {"rename", "renameat", "renameat2"},
    "link": {"link", "linkat"},
    "symlink": {"symlink", "symlinkat"},
    "mknod": {"mknod", "mknodat"},
    "truncate": {"truncate", "ftruncate", "truncate64", "ftruncate64"},
    "chmod": {"chmod", "fchmod", "fchmodat", "fchmodat2"},
    "chown": {"chown", "lchown", "fchown", "fchownat", "chown32", "lchown32", "fchown32"},
    "setxattr": {"setxattr", "lsetxattr", "fsetxattr", "setxattrat"},
    "mount": {"mount", "move_mount", "fsmount", "open_tree", "open_tree_attr", "mount_setattr"},
    "umount": {"umount", "umount2"},
    "read": {"read", "readv", "pread64", "preadv", "preadv2", "sendfile", "sendfile64", "splice", "tee", "copy_file_range"},
    "write": {"write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "sendfile64", "splice", "copy_file_range"},
    "close": {"close"},
    "tcp-connect": {"connect"},
    "unix-connect": {"connect", "socketcall"},
    "tcp-accept": {"accept", "accept4"},
    "udp-send": {"sendto", "sendmsg", "sendmmsg", "write", "writev"},
    "bind": {"bind", "socketcall"},
    "listen": {"listen", "socketcall"},
    "kill": {"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"},
    "ptrace": {"ptrace"},
    "fork": {"fork", "vfork", "clone", "clone3"},
    "setuid": {f"{call}uid{bits}" for call in ("set", "setre", "setres", "setfs") for bits in ("", "32")},
    "setgid": {f"{call}gid{bits}" for call in ("set", "setre", "setres", "setfs") for bits in ("", "32")},
    "capset": {"capset"},
    "bpf": {"bpf"},
    "module-load": {"init_module", "finit_module"},
}


@contextmanager
def in_directory(name):
    yield [make_directory(name)]


@contextmanager
def with_nop(name):
    yield [make_directory(name), PROGRAMS / "nop"]


@contextmanager
def in_deep_directory(name):
    directory = make_directory(name)
    test_names.make_deep_directory(directory)
    yield [directory]


@contextmanager
def among_mounts(name):
    directory = test_changes.prepare(name)
    try:
        yield [directory]
    finally:
        for part in ("ro", "bind", "over"):
            run("umount", directory / part)


@contextmanager
def with_source(name):
    yield test_mounts.prepare(name)


@contextmanager
def with_group(name):
    with test_fork.other_group() as group:
        yield [group]


@contextmanager
def with_module(name):
    directory = make_directory(name)
    yield [directory, module_file(directory), MODULE]


@contextmanager
def listening(name):
    yield ["--listen"]


@contextmanager
def for_all(name):
    yield ["all"]


@contextmanager
def alone(name):
    yield []


NAMES = test_names.EVENTS
CHANGES = test_changes.EVENTS
CREDENTIALS = test_credentials.EVENTS
KERNEL = ("bpf", "module-load")
# Program, its events, what it is given, and what else it executes.
RUNS = [
    ("opener", ("open",), in_directory, ()),
    ("opener32", ("open",), in_directory, ()),
    ("execer", ("exec",), with_nop, ("nop",)),
    ("namer", NAMES, in_deep_directory, ()),
    ("namer32", NAMES, in_deep_directory, ()),
    ("changer", CHANGES, among_mounts, ()),
    ("changer32", CHANGES, among_mounts, ()),
    ("mounter", ("mount", "umount"), with_source, ()),
    ("mounter32", ("mount", "umount"), with_source, ()),
    ("io", ("read",), in_directory, ()),
    ("io", ("write",), in_directory, ()),
    ("io32", ("read",), in_directory, ()),
    ("io32", ("write",), in_directory, ()),
    ("closer", ("close",), in_directory, ()),
    ("closer32", ("close",), in_directory, ()),
    ("connecter", ("tcp-connect",), listening, ()),
    ("talker", ("tcp-accept",), for_all, ()),
    ("udp-sender", ("udp-send",), alone, ()),
    ("unix-connecter", ("unix-connect",), in_directory, ()),
    ("unix-connecter32", ("unix-connect",), in_directory, ()),
    ("binder", ("bind", "listen"), in_directory, ()),
    ("binder32", ("bind", "listen"), in_directory, ()),
    ("forker", ("fork",), with_group, ()),
    ("forker32", ("fork",), with_group, ()),
    ("signaller", ("kill",), alone, ()),
    ("signaller32", ("kill",), alone, ()),
    ("tracer", ("ptrace",), alone, ()),
    ("tracer32", ("ptrace",), alone, ()),
    ("credentials", CREDENTIALS, alone, ()),
    ("credentials32", CREDENTIALS, alone, ()),
    ("kernel-changer", KERNEL, with_module, ()),
    ("kernel-changer32", KERNEL, with_module, ()),
]

# Of these it has more calls than there are events: each of ours is among them.
AMONG_OTHERS = (("tcp-accept",), ("udp-send",))

EINTR, ENOSYS, EINPROGRESS = 4, 38, 115
OPEN_TREE_CLONE, CLONE_THREAD = 1, 0x10000
# What socketcall is asked for, include/uapi/linux/net.h.
SOCKET_CALLS = {"bind": 2, "unix-connect": 3, "tcp-connect": 3, "listen": 4}
UNSET = 2**32 - 1
IDS_OF = {"setuid": ["uid", "euid", "suid", "fsuid"], "setgid": ["gid", "egid", "sgid", "fsgid"]}


def is_restart(result):
    """ERESTARTSYS to ERESTART_RESTARTBLOCK."""
    return result is not None and -516 <= int(result) <= -512


# Records that it has none of, by nature.
ONLY_OURS = [
    (lambda r: r.abi == b"io_uring", "no system call: it has records of another kind, and by its own rules alone"),
    (lambda r: r.event == b"truncate" and r.syscall not in (b"truncate", b"ftruncate", b"truncate64", b"ftruncate64"),
     "cut while it was opened: it knows no event but the system call"),
    (lambda r: r.event == b"close" and r.syscall != b"close", "another call that closes: of descriptors it tells nothing"),
]  # fmt: skip

# What it has and we do not.
ONLY_THEIRS = [
    (lambda e: e.number("exit") == -ENOSYS, "the kernel has no such call"),
    (lambda e: is_connect(e) and e.number("exit") == 0 and family(e) == socket.AF_UNSPEC,
     "a socket forgets whom it was connected to"),
    (lambda e: e.syscall == "open_tree" and not e.argument(2) & OPEN_TREE_CLONE, "only opens"),
    (lambda e: e.syscall == "clone" and e.argument(0) & CLONE_THREAD, "a thread is no process"),
]  # fmt: skip

# Where they differ by nature: fields that are not compared, when, and why.
DIFFERENT = [
    ("result", lambda ours, theirs: getattr(ours, "async") == b"1" and theirs.number("exit") == -EINPROGRESS,
     "we tell the result of the connection, it that of the call"),
    ("result", lambda ours, theirs: is_restart(ours.result) and theirs.number("exit") == -EINTR,
     "it has EINTR for all that may be restarted"),
    ("result", lambda ours, theirs: theirs.syscall == "sendmmsg", "it has the number of messages"),
    ("result", lambda ours, theirs: theirs.targets > 1, "it has one result for all that a signal was sent to"),
    ("target", lambda ours, theirs: theirs.target is None, "it tells of signals, and of those that begin to trace"),
    ("ids", lambda ours, theirs: ours.event in (b"setuid", b"setgid"),
     "it has the ids after the call where we have those before it; test_ids_afterwards compares them"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def auditd():
    with audit.auditing():
        yield


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: f"{run[0]}-{run[1][0]}")
def witnessed(request):
    """Our records of a program's run, and auditd's, pair by pair."""
    name, events, prepare, executes = request.param
    unit = f"test-auditd-{name}.service"
    calls = set().union(*(CALLS[event] for event in events))
    programs = [PROGRAMS / program for program in (name, *executes)]
    since = cursor()
    with prepare(f"auditd-{name}") as words, watching(unit, *events), audit.rules(programs, calls) as logged:
        account = run_service(unit, PROGRAMS / name, *words)
        ours = [record for record in records(unit, since=since) if not only_ours(record)]
        made = {line["result"] for line in account if line["call"] == "clone3"}
        wanted = {SOCKET_CALLS[event] for event in events if event in SOCKET_CALLS}
        theirs = [event for event in logged() if not only_theirs(event) and not is_thread(event, made)]
        theirs = [event for event in theirs if event.syscall != "socketcall" or event.argument(0) in wanted]
        if events == ("tcp-connect",):
            theirs = [event for event in theirs if family(event) in (socket.AF_INET, socket.AF_INET6)]
        theirs = [part for event in theirs for part in by_target(event)]
    if events in AMONG_OTHERS:
        theirs = matching(ours, theirs)
    return SimpleNamespace(name=name, records=ours, pairs=pair(ours, theirs))


def only_ours(record):
    return any(when(record) for when, _ in ONLY_OURS)


def only_theirs(event):
    return any(when(event) for when, _ in ONLY_THEIRS)


def matching(ours, theirs):
    """Of its events, in their order, those by the call and with the result that the next of ours has."""
    found = []
    theirs = iter(theirs)
    for r in ours:
        same = (e for e in theirs if e.number("pid") == int(r.pid) and e.syscall.encode() == r.syscall)
        same = (e for e in same if e.number("exit") == int(r.result) or e.syscall == "sendmmsg")
        found += islice((e for e in same if not e.of_type("SOCKADDR") or destination(r) == address(e)), 1)
    return found


def is_connect(event):
    return event.syscall == "connect" or event.syscall == "socketcall" and event.argument(0) == SOCKET_CALLS["unix-connect"]


def is_thread(event, made):
    """It does not say what clone3 was asked for: what the program does not tell of is none, nor is its one call of this size."""
    return event.syscall == "clone3" and (event.argument(1) == 64 or event.number("exit") not in made)


def by_target(event):
    """Of signals and ptrace each target is a record of ours."""
    targets = event.others.get("OBJ_PID", []) if event.syscall in CALLS["kill"] | CALLS["ptrace"] else []
    return [
        audit.Event(**{**vars(event), "target": int(record["opid"]), "targets": len(targets)}) for record in targets
    ] or [event]


def family(event):
    address = event.of_type("SOCKADDR")
    return struct.unpack("=H", bytes.fromhex(address["saddr"])[:2])[0] if address else None


def by_process(events, pid):
    found = {}
    for event in events:
        found.setdefault(pid(event), []).append(event)
    return found


def pair(ours, theirs):
    """Both sides by process, in their order; a side that has more leaves some alone."""
    ours, theirs = by_process(ours, lambda r: r.number("TRACELEFT_PID")), by_process(theirs, lambda e: e.number("pid"))
    found = {pid: (ours.get(pid, []), theirs.get(pid, [])) for pid in sorted(ours.keys() | theirs.keys())}
    for pid, (mine, its) in found.items():
        # In which order a call comes to its targets is the kernel's.
        mine = iter(mine)
        of_calls = [list(parts) for _, parts in groupby(its, key=lambda e: e.serial)]
        sorted_ours = [r for parts in of_calls for r in sorted(islice(mine, len(parts)), key=target_of)]
        sorted_theirs = [e for parts in of_calls for e in sorted(parts, key=lambda e: e.target or 0)]
        found[pid] = sorted_ours + list(mine), sorted_theirs
    return found


def target_of(record):
    return int(record.target_pid or 0)


def all_pairs(witnessed):
    return [(r, e) for ours, theirs in witnessed.pairs.values() for r, e in zip(ours, theirs)]


def differs(what, ours, theirs):
    return any(field == what and when(ours, theirs) for field, when, _ in DIFFERENT)


def check(witnessed, what, ours, theirs):
    """Holds what we say against what it says; all that is wrong in one error."""
    wrong = [
        f"{r.text('MESSAGE')[:150]}: {what} is {ours(r)!r}, auditd has {theirs(e)!r}"
        for r, e in all_pairs(witnessed)
        if not differs(what, r, e) and ours(r) != theirs(e)
    ]
    assert wrong == [], "\n".join(wrong)


def test_one_to_one(witnessed):
    wrong = []
    for pid, (ours, theirs) in witnessed.pairs.items():
        mine, its = [r.text("TRACELEFT_SYSCALL") for r in ours], [e.syscall for e in theirs]
        if mine != its:
            wrong.append(f"process {pid}:")
            wrong += unified_diff(mine, its, "ours", "auditd's", lineterm="", n=2)
    assert wrong == [], "\n".join(wrong)
    assert all_pairs(witnessed)


def test_result(witnessed):
    # An id is no error, though it may look like one in 32 bits.
    def theirs(event):
        result = event.number("exit")
        return result % 2**32 if event.syscall.startswith("setfs") else result

    check(witnessed, "result", lambda r: int(r.result), theirs)


def test_door(witnessed):
    check(witnessed, "abi", lambda r: r.text("TRACELEFT_ABI"), lambda e: e.abi)


def test_process(witnessed):
    check(witnessed, "pid", lambda r: int(r.pid), lambda e: e.number("pid"))
    check(witnessed, "ppid", lambda r: int(r.ppid), lambda e: e.number("ppid"))
    check(witnessed, "comm", lambda r: r.comm, lambda e: e.bytes("comm"))
    check(witnessed, "exe", lambda r: r.exe, lambda e: e.bytes("exe"))


def test_ids(witnessed):
    check(witnessed, "ids", lambda r: (int(r.uid), int(r.gid)), lambda e: (e.number("uid"), e.number("gid")))
    unset = lambda n: None if n == UNSET else number(n)  # noqa: E731
    check(witnessed, "auid", lambda r: r.auid, lambda e: unset(e.number("auid")))
    check(witnessed, "session", lambda r: r.session, lambda e: unset(e.number("ses")))


def test_ids_afterwards(witnessed):
    for event, names in IDS_OF.items():
        of_event = [(r, e) for r, e in all_pairs(witnessed) if r.event == event.encode() and int(r.result) >= 0]
        for ours, theirs in of_event:
            got = [getattr(ours, f"new_{name}") for name in names]
            assert got == [theirs.call[name].encode() for name in names], ours.text("MESSAGE")


def test_capabilities(witnessed):
    sets = {"cap_pe": "cap_effective", "cap_pp": "cap_permitted", "cap_pi": "cap_inheritable"}
    for ours, theirs in all_pairs(witnessed):
        record = theirs.of_type("CAPSET")
        assert (record is not None) == (ours.event == b"capset" and int(ours.result) == 0), ours.text("MESSAGE")
        for its, mine in sets.items() if record else ():
            # Linux 5.10 has the effective set in both places.
            if its == "cap_pi" and os.uname().release.startswith("5.10."):
                mine = "cap_effective"
            assert getattr(ours, mine) == test_credentials.names_of(int(record[its], 16)), ours.text("MESSAGE")


def test_target(witnessed):
    check(witnessed, "target", lambda r: int(r.target_pid) if r.target_comm else None, lambda e: e.target)


def test_module_name(witnessed):
    for ours, theirs in all_pairs(witnessed):
        record = theirs.of_type("KERN_MODULE")
        if record:
            # Newer kernels say "?" where there is none.
            name = audit.value(record["name"])
            assert ours.module == (None if name == b"?" else name), ours.text("MESSAGE")


def agrees(given, ours, theirs):
    """Whether it names what we say that the program passed."""
    named = theirs.names()
    names = [path.name for path in named if path.kind != "PARENT"]
    if given in names:
        return True
    if not given:
        # By descriptor, or the name could not be read, or it was empty. The other name of the call is another matter.
        return set(names) <= {None, b"", ours.new_path_arg, ours.link_target}
    # Of what was not looked up, or ends in slashes, it has no more than the directory that it is in; that is the
    # current one where the name has none. Of what was not even looked for, it has nothing.
    cwd = theirs.of_type("CWD")
    parents = [path.name for path in named if path.kind == "PARENT"]
    if not parents:
        return int(ours.result) < 0
    return any(p is None or given.startswith(p) or p == audit.value(cwd["cwd"]) for p in parents)


def test_path_as_passed(witnessed):
    wrong = [
        f"{ours.text('MESSAGE')[:150]}: {given!r}, auditd has {theirs.names()}"
        for ours, theirs in all_pairs(witnessed)
        for given in (ours.path_arg, ours.new_path_arg)
        if not (given is None and ours.path_arg is not None) and not agrees(given, ours, theirs)
    ]
    assert wrong == [], "\n".join(wrong)


def test_file(witnessed):
    wrong = []
    for ours, theirs in all_pairs(witnessed):
        files = [path.file for path in theirs.names() if path.kind != "PARENT" and path.file]
        if ours.inode and files and (ours.dev, int(ours.inode)) not in files:
            wrong.append(f"{ours.text('MESSAGE')[:150]}: {ours.dev} {ours.inode}, auditd has {theirs.names()}")
    assert wrong == [], "\n".join(wrong)


def test_address(witnessed):
    for ours, theirs in all_pairs(witnessed):
        # What a call was not given, it does not have.
        if ours.daddr and (ours.event == b"tcp-connect" or theirs.of_type("SOCKADDR")):
            assert destination(ours) == address(theirs), ours.text("MESSAGE")


def destination(record):
    return (record.text("TRACELEFT_DADDR"), int(record.dport)) if record.daddr else None


def address(event):
    """Where a connection or datagram is to go; None if that is no address of the Internet."""
    if family(event) not in (socket.AF_INET, socket.AF_INET6):
        return None
    data = bytes.fromhex(event.of_type("SOCKADDR")["saddr"])
    port = struct.unpack("!H", data[2:4])[0]
    if family(event) == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, data[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, data[8:24]).removeprefix("::ffff:"), port
