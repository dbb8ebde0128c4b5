"""What makes, removes and moves names: each call that the programs tell of is a record, and there is no other."""

import os
import stat
from collections import Counter
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS,
    check_all,
    compare,
    cursor,
    make_directory,
    number,
    pairs,
    records,
    run_service,
    watch_properties,
    watching,
)

EVENTS = ("mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod")
STRING_MAX = 4096
AT = {"AT_SYMLINK_FOLLOW": 0x400, "AT_EMPTY_PATH": 0x1000, "AT_REMOVEDIR": 0x200}
FLAGS = {"rename": {"RENAME_NOREPLACE": 1, "RENAME_EXCHANGE": 2, "RENAME_WHITEOUT": 4}, "link": AT}
TYPES = {
    0: b"regular",
    stat.S_IFREG: b"regular",
    stat.S_IFIFO: b"fifo",
    stat.S_IFSOCK: b"socket",
    stat.S_IFCHR: b"character",
    stat.S_IFBLK: b"block",
    stat.S_IFDIR: b"directory",
}


def make_deep_directory(directory):
    """So deep that no path can name what is in it but one of the longest."""
    here = os.open(directory, os.O_PATH)
    for name in ["deep", *["c23456789012345"] * 250]:
        os.mkdir(name, dir_fd=here)
        there = os.open(name, os.O_PATH, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)


@pytest.fixture(scope="module", params=["namer", "namer32"])
def named(request):
    """A program's account, its records, and the counts of its watch."""
    name = request.param
    unit = f"test-{name}.service"
    directory = make_directory(name)
    make_deep_directory(directory)
    since = cursor()
    with watching(unit, *EVENTS) as watch:
        account = run_service(unit, PROGRAMS / name, directory)
        found = records(unit, since=since)
        counts = watch_properties(watch)
    for line in account:
        line["uring"] = line["call"].startswith("io_uring")
    return SimpleNamespace(name=name, unit=unit, account=account, records=found, counts=counts)


def argument(line, key):
    return bytes.fromhex(line[key])[:STRING_MAX] if key in line else None


def resolved(line, prefix):
    """What the name leads to; if the call failed before it knew that, the name below its directory."""
    if f"{prefix}path" in line:
        return bytes.fromhex(line[f"{prefix}path"])
    given = argument(line, f"{prefix}arg")
    if given is None or given.startswith(b"/"):
        return given
    base = bytes.fromhex(line.get(f"{prefix}base", ""))
    return os.path.join(base, given).removesuffix(b"/" if not given else b"") if base else None


def test_one_to_one(named):
    assert [r.event for r in named.records] == [line["event"].encode() for line in named.account], compare(named)
    assert [int(r.result) for r in named.records] == [line["result"] for line in named.account], compare(named)


def test_the_ledger_agrees(named):
    n = Counter(line["event"] for line in named.account)
    assert named.counts["EventCounts"] == {event: [n[event], n[event], 0, 0] for event in EVENTS}


def test_errors_by_name(named):
    check_all(named, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)


def test_path(named):
    check_all(named, "path", lambda line: resolved(line, ""))


def test_path_argument(named):
    check_all(named, "path_arg", lambda line: argument(line, "arg"))


def test_path_state(named):
    check_all(named, "path_state", lambda line: line["state"].encode() if "state" in line else None)


def test_new_path(named):
    check_all(named, "new_path", lambda line: resolved(line, "new_"))
    check_all(named, "new_path_state", lambda line: None)


def test_new_path_argument(named):
    check_all(named, "new_path_arg", lambda line: argument(line, "new_arg"))


def test_truncation(named):
    def cut(line):
        fields = {"arg": ["PATH", "PATH_ARG"], "new_arg": ["NEW_PATH", "NEW_PATH_ARG"], "target": ["LINK_TARGET"]}
        long = [name for key, names in fields.items() if len(line.get(key, "")) > 2 * STRING_MAX for name in names]
        names = [f"TRACELEFT_{name}".encode() for name in long]
        return names[0] if len(names) == 1 else names or None

    check_all(named, "truncated", cut)


def test_link_target(named):
    check_all(named, "link_target", lambda line: argument(line, "target"))


def test_mode_type_and_device(named):
    def of_mknod(value):
        return lambda line: value(line) if line["event"] == "mknod" else None

    def device(line):
        if stat.S_IFMT(line["mode"]) in (stat.S_IFCHR, stat.S_IFBLK):
            return b"%d:%d" % (line["rdev_major"], line["rdev_minor"])
        return None

    with_mode = ("mkdir", "mknod")
    check_all(named, "mode", lambda line: b"0%03o" % (line["mode"] & 0o7777) if line["event"] in with_mode else None)
    check_all(named, "file_type", of_mknod(lambda line: TYPES.get(stat.S_IFMT(line["mode"]))))
    check_all(named, "rdev", of_mknod(device))


def test_flags(named):
    def flags(line):
        bits = line["flags"]
        # Which event it is was the one flag that unlinkat knows.
        if line["event"] in ("rmdir", "unlink") and line["name"] != "unknown-flag":
            bits = 0
        known = FLAGS.get(line["event"], AT)
        words = [name for name, bit in sorted(known.items(), key=lambda item: item[1]) if bits & bit]
        rest = bits & ~sum(known.values())
        return "|".join([*words, *([hex(rest)] if rest else [])]).encode() or None

    check_all(named, "flags", flags)


def test_device_and_inode(named):
    for line, record in pairs(named):
        if "identity" in line:
            continue
        got = (record.dev, record.inode)
        if "inode" in line:
            assert got == (b"%d:%d" % (line["major"], line["minor"]), number(line["inode"])), line
        else:
            assert got == (None, None), line


def test_system_call(named):
    abi = b"i386" if named.name == "namer32" else b"x86-64"
    check_all(named, "syscall", lambda line: None if line["uring"] else line["call"].encode())
    check_all(named, "abi", lambda line: b"io_uring" if line["uring"] else abi)
    check_all(named, "fd", lambda line: None)


def test_io_uring_can_do_it(named):
    """By each operation that this kernel's io_uring has: at least to rename and to remove."""
    if named.name == "namer":
        assert {"rename", "unlink"} <= {line["event"] for line in named.account if line["uring"]}


def test_process_and_unit(named):
    check_all(named, "pid", lambda line: number(line["pid"]))
    check_all(named, "ppid", lambda line: number(line["ppid"]))
    check_all(named, "uid", lambda line: number(line["uid"]))
    check_all(named, "gid", lambda line: number(line["gid"]))
    check_all(named, "exe", lambda line: os.fsencode(PROGRAMS / named.name))
    check_all(named, "unit", lambda line: named.unit.encode())
    check_all(named, "invocation_id", lambda line: line["invocation"].encode())
    for line, record in pairs(named):
        # A worker of io_uring is a thread of its own.
        assert line["uring"] or record.tid == number(line["tid"])


def test_messages_are_printable(named):
    for line, record in pairs(named):
        assert record.text("MESSAGE").isprintable()
        assert f": {line['event']} " in record.text("MESSAGE")
