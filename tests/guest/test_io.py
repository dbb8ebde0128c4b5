"""The events read and write: each side of each call that the program tells of is a record, and there is no other.

The program's own account is written, too: each line of it is a write more.
"""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, SCRATCH, check_all, compare, cursor, make_directory, number, policy, properties, records, run, run_service,
    show, wait_for, watch_properties, watching,
)  # fmt: skip

CAPTURE = 4096
RUNS = ["io", "io32"]


def run_program(name, unit):
    directory = make_directory(unit)
    since = cursor()
    account = run_service(unit, PROGRAMS / name, directory)
    found = records(unit, since=since)
    written = os.fsencode(SCRATCH / f"{unit}.account")
    own = [r for r in found if r.path == written]
    found = [r for r in found if r.path != written]
    return SimpleNamespace(name=name, unit=unit, directory=directory, account=account, own=own, all_records=found)


@pytest.fixture(scope="module", params=RUNS)
def done(request):
    unit = f"test-{request.param}.service"
    with watching(unit, "read", "write") as watch:
        run = run_program(request.param, unit)
        run.counts = watch_properties(watch)
    return run


def side(run, event):
    """Lines and records of one event; those of a call's other side come before or after them."""
    account = [line for line in run.account if line["event"] == event]
    found = [r for r in run.all_records if r.event == event.encode()]
    return SimpleNamespace(**{**vars(run), "account": account, "records": found})


@pytest.fixture(params=["read", "write"])
def moved(request, done):
    return side(done, request.param)


def test_one_to_one(moved):
    results = [(line["fd"], line["result"]) for line in moved.account]
    assert [(int(r.fd or -1), int(r.result)) for r in moved.records] == results, compare(moved)


def test_the_account_is_written(done):
    lines = (SCRATCH / f"{done.unit}.account").read_bytes().splitlines(keepends=True)
    assert [int(r.result) for r in done.own] == [len(line) for line in lines]
    assert {(r.event, r.fd) for r in done.own} == {(b"write", b"1")}
    assert [r.requested for r in done.own] == [r.result for r in done.own]


def test_the_ledger_agrees(done):
    reads = len([line for line in done.account if line["event"] == "read"])
    writes = len(done.account) - reads + len(done.own)
    assert done.counts["EventCounts"] == {"read": [reads, reads, 0, 0], "write": [writes, writes, 0, 0]}


def test_errors_by_name(moved):
    check_all(moved, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)


def test_path(moved):
    def path(line):
        name = bytes.fromhex(line.get("path", ""))
        return name.removesuffix(b" (deleted)") or None

    def state(line):
        name = bytes.fromhex(line.get("path", ""))
        if name.startswith((b"/memfd:", b"pipe:", b"socket:")):
            return b"anonymous"
        return b"deleted" if name.endswith(b" (deleted)") else None

    check_all(moved, "path", path)
    check_all(moved, "path_state", state)
    check_all(moved, "path_arg", lambda line: None)


def test_device_and_inode(moved):
    known = lambda line: "inode" in line  # noqa: E731
    check_all(moved, "dev", lambda line: b"%d:%d" % (line["major"], line["minor"]) if known(line) else None)
    check_all(moved, "inode", lambda line: number(line["inode"]) if known(line) else None)


def test_descriptor(moved):
    check_all(moved, "fd", lambda line: number(line["fd"]) if line["fd"] >= 0 else None)


def test_how_much_was_asked_for(moved):
    check_all(moved, "requested", lambda line: number(line["requested"]) if line["requested"] >= 0 else None)


def test_no_data_unless_asked_for(done):
    assert [r for r in done.all_records + done.own if r.data is not None] == []


def test_system_call(moved):
    check_all(moved, "syscall", lambda line: line["call"].encode())
    check_all(moved, "abi", lambda line: b"i386" if moved.name == "io32" else b"x86-64")


def test_process_and_unit(moved):
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(moved, field, lambda line: number(line[field]))  # noqa: B023
    check_all(moved, "exe", lambda line: os.fsencode(PROGRAMS / moved.name))
    check_all(moved, "unit", lambda line: moved.unit.encode())
    check_all(moved, "invocation_id", lambda line: line["invocation"].encode())


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("capture", [1, 16, CAPTURE])
def test_data(name, capture):
    unit = f"test-{name}-data.service"
    with policy("capture", [unit], ["read", "write"], f"capture = {capture}\n"):
        run = run_program(name, unit)
    for event in ("read", "write"):
        of_event = side(run, event)

        def data(line):
            told = bytes.fromhex(line.get("data", ""))[:capture]
            # Eight parts of a vector are followed.
            return told[:8] if line["name"] == "vector-long" else told or None

        check_all(of_event, "data", data)
        cut = lambda line: b"TRACELEFT_DATA" if line["name"] == "vector-long" and capture > 8 else None  # noqa: E731
        check_all(of_event, "truncated", cut)
    lines = (SCRATCH / f"{unit}.account").read_bytes().splitlines(keepends=True)
    assert [r.data for r in run.own] == [line[:capture] for line in lines]


THREADS_BLOCKED = 20


def blocked(unit):
    """How many processes of a unit are in read(2), the call number 0."""
    pids = Path("/sys/fs/cgroup" + show(unit, "ControlGroup"), "cgroup.procs").read_text().split()
    return sum(Path("/proc", pid, "syscall").read_text().startswith("0 ") for pid in pids)


@pytest.mark.default_backend
def test_results_do_not_hang_on_returns():
    """Who blocks in read anywhere uses up the returns of that function: how much others read is told all the same."""
    others, unit = "test-io-blocked.service", "test-io-unreturned.service"
    directory = make_directory("unreturned")
    (directory / "file").write_bytes(bytes(200000))
    run("mkfifo", directory / "fifo")
    readers = f"for i in $(seq {THREADS_BLOCKED}); do cat <>{directory}/fifo & done; wait"
    with watching(unit, "read") as watch:
        run("systemd-run", "--quiet", f"--unit={others}", "/bin/sh", "-c", readers)
        try:
            wait_for(lambda: blocked(others) == THREADS_BLOCKED, "all readers block")
            copy = f"exec dd if={directory}/file of=/dev/null bs=1000 count=200 status=none"
            run_service(unit, "/bin/sh", "-c", copy)
            found = [r for r in records(unit) if r.path == os.fsencode(directory / "file")]
            counts = watch_properties(watch)
            (probe,) = [p for p in properties()["Probes"] if p[:2] == ["ksys_read", "kretprobe"]]
        finally:
            run("systemctl", "stop", others)
    function, kind, hits, misses = probe
    assert misses > 0
    assert [(r.result, r.requested, r.result_missed) for r in found] == 200 * [(b"1000", b"1000", None)]
    seen, recorded, lost, _ = counts["EventCounts"]["read"]
    assert (seen, lost) == (recorded, 0)


@pytest.mark.any_backend
@pytest.mark.parametrize("size", [1, pytest.param(64, marks=pytest.mark.daemon)])
def test_volume(size):
    """As many records as calls, and bytes as were moved, or what is missing is told as lost."""
    unit = f"test-io-volume-{size}.service"
    count = 5000
    with watching(unit, "read", "write") as watch:
        run_service(unit, "/bin/sh", "-c", f"exec dd if=/dev/zero of=/dev/null bs={size} count={count} status=none")
        for event, path in (("read", b"/dev/zero"), ("write", b"/dev/null")):
            found = [r for r in records(unit, event) if r.path == path]
            seen, recorded, lost, _ = watch_properties(watch)["EventCounts"][event]
            assert seen == recorded + lost and count - lost <= len(found) <= count
            assert {r.result for r in found} == {number(size)}
