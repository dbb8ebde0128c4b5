"""What io_uring reads, writes and closes, in each way that it goes about it: each request is a record."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, check_all, compare, cursor, make_directory, number, records, run_service, watch_properties, watching,
)  # fmt: skip

UNIT = "test-uring-io.service"
EVENTS = ("read", "write", "close", "setxattr", "truncate")


@pytest.fixture(scope="module")
def everything():
    directory = make_directory("uring-io")
    since = cursor()
    with watching(UNIT, *EVENTS) as watch:
        account = run_service(UNIT, PROGRAMS / "uring-io", directory)
        found = [record for record in records(UNIT, since=since) if record.abi == b"io_uring"]
        counts = watch_properties(watch)
    # Without that function a close of what is not open is not seen; the others are, where files are closed. And what
    # Linux 5.10 finds that it cannot do when it takes the request does not begin.
    if " io_close\n" not in Path("/proc/kallsyms").read_text():
        refused = {("close", -errno.EBADF), ("read", -errno.EOPNOTSUPP)}
        account = [line for line in account if (line["event"], line["result"]) not in refused]
    return SimpleNamespace(account=account, records=found, counts=counts, directory=directory)


@pytest.fixture(params=EVENTS)
def done(request, everything):
    """What is of one event: a call that reads and writes has a record of each."""
    event = request.param
    account = [line for line in everything.account if line["event"] == event]
    found = [record for record in everything.records if record.event == event.encode()]
    return SimpleNamespace(**{**vars(everything), "event": event, "account": account, "records": found})


def test_one_to_one(done):
    told = [line["result"] for line in done.account]
    assert [int(r.result) for r in done.records] == told, compare(done)


def test_every_variant_is_there(everything):
    names = {(line["way"], line["name"]) for line in everything.account}
    kernel = tuple(int(n) for n in os.uname().release.split(".")[:2])
    assert {way for way, _ in names} == {"inline", "async", "sqpoll"}
    assert ("async", "fsetxattr") in names or kernel < (5, 19)
    assert ("async", "ftruncate") in names or kernel < (6, 9)


def test_nothing_is_lost(done):
    seen, recorded, *rest = done.counts["EventCounts"][done.event]
    assert (seen, rest) == (recorded, [0, 0])


def test_fields(done):
    def path(line):
        failed = os.fsencode(done.directory / "nothing") if line["name"] == "no-entry" else None
        return bytes.fromhex(line["path"]) if "path" in line else failed

    anonymous = lambda line: bytes.fromhex(line.get("path", "")).startswith(b"pipe:")  # noqa: E731
    check_all(done, "syscall", lambda line: None)
    check_all(done, "errno", lambda line: line["errno"].encode() if line["result"] < 0 else None)
    check_all(done, "path", path)
    check_all(done, "path_arg", lambda line: bytes.fromhex(line["arg"]) if "arg" in line else None)
    check_all(done, "xattr", lambda line: bytes.fromhex(line["xattr"]) if "xattr" in line else None)
    check_all(done, "size", lambda line: number(line["size"]) if "size" in line else None)
    # A kernel may not say which it is; and of a call by path it is the test's own.
    for line, record in zip(done.account, done.records):
        assert record.fd in (None, number(line["fd"])) or "arg" in line, line
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
