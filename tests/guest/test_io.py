"""The events read and write: each side of each call that the program tells of is a record, and there is no other.

The program's own account is written, too: each line of it is a write more.
"""

import os
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, SCRATCH, check_all, compare, cursor, make_directory, number, policy, records, run_service, watch_properties,
    watching,
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
