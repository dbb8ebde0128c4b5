"""What io_uring reads, writes and closes, in each way that it goes about it: each request is a record."""

import os
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, check_all, compare, cursor, make_directory, number, records, run_service, watch_properties, watching,
)  # fmt: skip

UNIT = "test-uring-io.service"
EVENTS = ("read", "write", "close")


@pytest.fixture(scope="module")
def done():
    directory = make_directory("uring-io")
    since = cursor()
    with watching(UNIT, *EVENTS) as watch:
        account = run_service(UNIT, PROGRAMS / "uring-io", directory)
        found = [record for record in records(UNIT, since=since) if record.abi == b"io_uring"]
        counts = watch_properties(watch)
    return SimpleNamespace(account=account, records=found, counts=counts)


def test_one_to_one(done):
    told = [(line["event"], line["fd"], line["result"]) for line in done.account]
    assert [(r.text("TRACELEFT_EVENT"), int(r.fd or -1), int(r.result)) for r in done.records] == told, compare(done)


def test_nothing_is_lost(done):
    for event in EVENTS:
        seen, recorded, *rest = done.counts["EventCounts"][event]
        assert (seen, rest) == (recorded, [0, 0])


def test_fields(done):
    anonymous = lambda line: bytes.fromhex(line.get("path", "")).startswith(b"pipe:")  # noqa: E731
    check_all(done, "syscall", lambda line: None)
    check_all(done, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)
    check_all(done, "path", lambda line: bytes.fromhex(line["path"]) if "path" in line else None)
    check_all(done, "path_state", lambda line: b"anonymous" if anonymous(line) else None)
    check_all(done, "inode", lambda line: number(line["inode"]) if "inode" in line else None)
    check_all(done, "dev", lambda line: b"%d:%d" % (line["major"], line["minor"]) if "inode" in line else None)
    check_all(done, "requested", lambda line: number(line["requested"]) if "requested" in line else None)


def test_process_and_unit(done):
    for field in ("pid", "ppid", "uid", "gid"):
        check_all(done, field, lambda line, field=field: number(line[field]))
    check_all(done, "exe", lambda line: os.fsencode(PROGRAMS / "uring-io"))
    check_all(done, "unit", lambda line: UNIT.encode())
    check_all(done, "invocation_id", lambda line: line["invocation"].encode())
