"""The event close: each descriptor that the program tells of closing is a record, and there is no other."""

import os
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, check_all, compare, cursor, make_directory, number, pairs, records, run_service, watch_properties, watching,
)  # fmt: skip


@pytest.fixture(scope="module", params=["closer", "closer32"])
def closed(request):
    """A program's account, its records, and the counts of its watch."""
    name = request.param
    unit = f"test-{name}.service"
    directory = make_directory(name)
    since = cursor()
    with watching(unit, "close") as watch:
        account = run_service(unit, PROGRAMS / name, directory)
        found = records(unit, since=since)
        counts = watch_properties(watch)
    return SimpleNamespace(name=name, unit=unit, account=account, records=found, counts=counts)


def test_one_to_one(closed):
    results = [(line["fd"], line["result"]) for line in closed.account]
    assert [(int(r.fd or -1), int(r.result)) for r in closed.records] == results, compare(closed)


def test_the_ledger_agrees(closed):
    n = len(closed.account)
    assert closed.counts["EventCounts"] == {"close": [n, n, 0, 0]}


def test_errors_by_name(closed):
    check_all(closed, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)


def test_path(closed):
    def path(line):
        return bytes.fromhex(line.get("path", "")).removesuffix(b" (deleted)") or None

    def state(line):
        name = bytes.fromhex(line.get("path", ""))
        if name.startswith((b"/memfd:", b"pipe:", b"socket:")):
            return b"anonymous"
        return b"deleted" if name.endswith(b" (deleted)") else None

    check_all(closed, "path", path)
    check_all(closed, "path_state", state)


def test_device_and_inode(closed):
    known = lambda line: "inode" in line and line["name"] != "flushed"  # noqa: E731
    overlay = [r.path for r in closed.records if r.path and b"/overlay/" in r.path]
    for line, record in pairs(closed):
        if known(line):
            assert record.dev == b"%d:%d" % (line["major"], line["minor"]), line
            assert record.inode == number(line["inode"]), line
    assert len(overlay) == 1


def test_descriptor_and_call(closed):
    check_all(closed, "fd", lambda line: number(line["fd"]) if line["fd"] >= 0 else None)
    check_all(closed, "syscall", lambda line: line["call"].encode())
    check_all(closed, "abi", lambda line: b"i386" if closed.name == "closer32" else b"x86-64")


def test_process_and_unit(closed):
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(closed, field, lambda line: number(line[field]))  # noqa: B023
    check_all(closed, "exe", lambda line: os.fsencode(PROGRAMS / closed.name))
    check_all(closed, "unit", lambda line: closed.unit.encode())
    check_all(closed, "invocation_id", lambda line: line["invocation"].encode())
