"""The events bind, listen, udp-send and unix-connect: what the programs tell of is recorded, and nothing else."""

import os
import socket
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS,
    check_all,
    make_directory,
    number,
    pairs,
    records,
    run_service,
    watch_properties,
    watching,
)

FAMILIES = {
    socket.AF_UNIX: b"unix",
    socket.AF_INET: b"inet",
    socket.AF_INET6: b"inet6",
    socket.AF_NETLINK: b"netlink",
    socket.AF_PACKET: b"packet",
    socket.AF_VSOCK: b"vsock",
}
TYPES = {
    socket.SOCK_STREAM: b"stream",
    socket.SOCK_DGRAM: b"dgram",
    socket.SOCK_RAW: b"raw",
    socket.SOCK_SEQPACKET: b"seqpacket",
}
# The program, and what it does.
CASES = {
    "binder": ("bind", "listen"),
    "binder32": ("bind", "listen"),
    "udp-sender": ("udp-send",),
    "udp-sender32": ("udp-send",),
    "unix-connecter": ("unix-connect",),
    "unix-connecter32": ("unix-connect",),
}


@pytest.fixture(scope="module", params=CASES)
def run(request):
    """The program's account, its records, and the counts."""
    program, events = request.param, CASES[request.param]
    unit = f"test-{program}.service"
    directory = make_directory(program)
    arguments = [] if program.startswith("udp") else [directory]
    with watching(unit, *events) as watch:
        account = run_service(unit, PROGRAMS / program, *arguments)
        found = records(unit)
        counts = watch_properties(watch)
    return SimpleNamespace(program=program, unit=unit, account=account, records=found, counts=counts, events=events)


def plain(address):
    """An IPv4 address that an IPv6 socket uses is written as such, so that one match finds both."""
    return address.removeprefix("::ffff:").encode()


def optional(key, form):
    return lambda line: form(line[key]) if key in line else None


def test_one_to_one(run):
    check_all(run, "event", lambda line: line["call"].encode())
    check_all(run, "result", optional("result", number))
    check_all(run, "errno", optional("errno", str.encode))


def test_the_ledger_agrees(run):
    done = {event: [line for line in run.account if line["call"] == event] for event in run.events}
    assert run.counts["EventCounts"] == {event: [len(lines), len(lines), 0, 0] for event, lines in done.items()}


def test_way_in(run):
    check_all(run, "syscall", optional("syscall", str.encode))
    check_all(run, "abi", lambda line: b"i386" if run.program.endswith("32") else b"x86-64")


def test_process_and_unit(run):
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(run, field, optional(field, number))
    check_all(run, "comm", lambda line: run.program[:15].encode())
    # Of a process in a chroot it is not below the root.
    check_all(run, "exe", lambda line: os.fsencode(PROGRAMS / run.program))
    check_all(run, "unit", lambda line: run.unit.encode())
    check_all(run, "invocation_id", optional("invocation", str.encode))


def test_socket(run):
    # Of a failed bind the family is that of the address.
    family = lambda line: line.get("asked_family", line.get("family"))  # noqa: E731
    check_all(run, "family", lambda line: FAMILIES[family(line)] if "family" in line else None)
    check_all(run, "socket_type", optional("type", TYPES.get))
    check_all(run, "fd", optional("fd", number))
    check_all(run, "net_ns", optional("net_ns", number))
    check_all(run, "backlog", optional("backlog", number))


def test_addresses(run):
    check_all(run, "saddr", optional("saddr", plain))
    check_all(run, "sport", optional("sport", number))
    check_all(run, "daddr", optional("daddr", plain))
    check_all(run, "dport", optional("dport", number))


def looked_up(run):
    """What of a unix connection hangs on the kernel's own look-up of the name, which not every kernel lets be seen:
    elsewhere it has the name by which the socket was bound, and a failed one none but what was passed."""
    return [(line, record) for line, record in pairs(run)
            if not run.program.startswith("unix-connecter") or line["result"] == 0 and not record.path_state]  # fmt: skip


def test_names(run):
    for line, record in looked_up(run):
        assert record.path == optional("path", bytes.fromhex)(line), line
    check_all(run, "path_arg", optional("path_arg", bytes.fromhex))
    check_all(run, "abstract", optional("abstract", bytes.fromhex))
    check_all(run, "truncated", lambda line: None)


def test_file(run):
    for line, record in looked_up(run):
        assert record.inode == optional("inode", number)(line), line
        assert record.dev == (f"{line['major']}:{line['minor']}".encode() if "inode" in line else None), line


def test_peer(run):
    check_all(run, "peer_unit", lambda line: run.unit.encode() if "peer" in line else None)
    check_all(run, "peer_pid", optional("peer_pid", number))


def test_message(run):
    for line, record in pairs(run):
        text = record.text("MESSAGE")
        assert text.isprintable()
        what = record.abstract or record.path or record.path_arg or b""
        if what.isascii() and what.decode().isprintable():
            assert f": {line['call']} " in text and what.decode() in text, text
