"""The event open: every open that the programs tell of is a record, and there is no other."""

import os
from types import SimpleNamespace

import names
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
    show,
    watch_properties,
    watching,
)

PROGRAM_RUNS = ["opener", "opener32", "uring-open"]


@pytest.fixture(scope="module", params=PROGRAM_RUNS)
def opened(request):
    """A program's account, its records, and the counts of its watch."""
    name = request.param
    unit = f"test-{name}.service"
    directory = make_directory(name)
    with watching(unit, "open") as watch:
        account = run_service(unit, PROGRAMS / name, directory)
        found = records(unit)
        counts = watch_properties(watch)
    return SimpleNamespace(name=name, unit=unit, directory=directory, account=account, records=found, counts=counts)


def test_one_to_one(opened):
    assert [r.event for r in opened.records] == [b"open"] * len(opened.account), compare(opened)
    assert [int(r.result) for r in opened.records] == [line["result"] for line in opened.account], compare(opened)


def test_the_ledger_agrees(opened):
    n = len(opened.account)
    assert opened.counts["EventCounts"] == {"open": [n, n, 0, 0]}
    assert (opened.counts["Seen"], opened.counts["Recorded"], opened.counts["Lost"]) == (n, n, 0)


def test_path(opened):
    def path(line):
        if line["name"] == "chroot":
            return b"/file2"
        if line["result"] >= 0:
            return bytes.fromhex(line["path"]).removesuffix(b" (deleted)")
        if "arg" not in line:
            return None
        argument, base = bytes.fromhex(line["arg"]), bytes.fromhex(line.get("base", ""))
        if argument.startswith(b"/"):
            return argument
        return (base + b"/" + argument).removesuffix(b"/") if base else None

    if opened.name == "uring-open":
        for line in opened.account:
            line["base"] = os.fsencode(opened.directory).hex()
    check_all(opened, "path", path)


def test_path_argument(opened):
    def argument(line):
        return bytes.fromhex(line["arg"]) if "arg" in line else None

    check_all(opened, "path_arg", argument)


def test_path_state(opened):
    check_all(opened, "path_state", lambda line: b"deleted" if line["name"] == "tmpfile" else None)


def test_errors_by_name(opened):
    check_all(opened, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)
    assert [r["PRIORITY"] for r in opened.records] == [b"6" if line["result"] >= 0 else b"5" for line in opened.account]


def test_descriptor(opened):
    check_all(opened, "fd", lambda line: number(line["result"]) if line["result"] >= 0 else None)


def test_flags(opened):
    for line, record in pairs(opened):
        # The kernel adds O_LARGEFILE to what 64-bit programs ask for.
        assert names.flags_number(record.flags) & ~names.O_LARGEFILE == line["flags"] & ~names.O_LARGEFILE, (line, record)


def test_mode(opened):
    creates = os.O_CREAT | names.O_TMPFILE_BIT
    check_all(opened, "mode", lambda line: b"0%o" % line["mode"] if line["flags"] & creates else None)


def test_device_and_inode(opened):
    ok = lambda line: line["result"] >= 0  # noqa: E731
    check_all(opened, "dev", lambda line: b"%d:%d" % (line["major"], line["minor"]) if ok(line) else None)
    check_all(opened, "inode", lambda line: number(line["inode"]) if ok(line) else None)


def test_system_call(opened):
    def call(line):
        # A handle has no name that tells of io_uring: its call is the one that the program made, if any.
        return None if line["call"].startswith("io_uring") else line["call"].encode()

    if opened.name != "uring-open":
        check_all(opened, "syscall", call)
    abi = {"opener": b"x86-64", "opener32": b"i386", "uring-open": b"io_uring"}[opened.name]
    check_all(opened, "abi", lambda line: abi)


def test_process(opened):
    check_all(opened, "pid", lambda line: number(line["pid"]))
    check_all(opened, "ppid", lambda line: number(line["ppid"]))
    check_all(opened, "uid", lambda line: number(line["uid"]))
    check_all(opened, "gid", lambda line: number(line["gid"]))
    check_all(opened, "exe", lambda line: os.fsencode(PROGRAMS / opened.name))
    # No service descends from a login.
    check_all(opened, "auid", lambda line: None)
    if opened.name == "uring-open":
        for line, record in pairs(opened):
            # What cannot be done at once without blocking goes to a worker, however it was asked for; it has
            # the thread id of who submitted it in its name.
            own = {"inline": "uring-open", "async": f"iou-wrk-{line['pid']}", "sqpoll": f"iou-sqp-{line['pid']}"}
            comm = record.text("TRACELEFT_COMM")
            assert comm == own[line["way"]] or comm.startswith("iou-wrk-"), line
            assert (record.tid == number(line["tid"])) == (comm == "uring-open"), line
    else:
        check_all(opened, "comm", lambda line: opened.name.encode())
        check_all(opened, "tid", lambda line: number(line["tid"]))


def test_unit(opened):
    check_all(opened, "unit", lambda line: opened.unit.encode())
    check_all(opened, "invocation_id", lambda line: line["invocation"].encode())
    check_all(opened, "slice", lambda line: b"system.slice")
    check_all(opened, "cgroup", lambda line: f"/system.slice/{opened.unit}".encode())
    check_all(opened, "policy", lambda line: b"run-time")
    namespace = number(os.stat("/proc/self/ns/mnt").st_ino)
    check_all(opened, "mnt_ns", lambda line: namespace)


def test_truncation(opened):
    # A path of 4096 bytes is longer than any that the kernel takes; there may be more of it.
    cut = [b"TRACELEFT_PATH", b"TRACELEFT_PATH_ARG"]
    check_all(opened, "truncated", lambda line: cut if line["name"] == "path-too-long" else None)


def test_order_and_time(opened):
    times = [int(r.timestamp) for r in opened.records]
    assert times == sorted(times)
    sequence = [int(r.seq) for r in opened.records]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    # CLOCK_BOOTTIME, a little before the journal got it.
    for record in opened.records:
        lag = int(record["__MONOTONIC_TIMESTAMP"]) - int(record.timestamp) // 1000
        assert 0 <= lag < 120_000_000


def test_message_is_printable(opened):
    for record in opened.records:
        message = record.text("MESSAGE")
        assert message.isprintable(), repr(message)
        assert record["MESSAGE_ID"] == b"e477b9fa49db4c28a8c117b7972542df"


def test_no_path_forges_a_field(opened):
    several = {field for record in opened.records for field, value in record.items() if isinstance(value, list)}
    assert several <= {"TRACELEFT_TRUNCATED"}
    assert records("evil") == []


def test_what_is_not_watched_leaves_no_record():
    since = cursor()
    directory = make_directory("unwatched")
    with watching("test-another.service", "open"):
        account = run_service("test-unwatched.service", PROGRAMS / "opener", directory)
        assert len(account) > 50
        assert records(since=since) == []
    assert show("test-unwatched.service", "LoadState") in ("not-found", "loaded")
