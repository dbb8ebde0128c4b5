"""The event fork: every process that the program tells of is a record, and no thread is."""

from contextlib import contextmanager

import pytest
from harness import (
    check_all,
    check_caller,
    number,
    pairs,
    run,
    run_watched,
    show,
)

OTHER = "test-forker-other.service"


@contextmanager
def other_group():
    """The control group of another unit, as a directory."""
    run("systemd-run", "--quiet", f"--unit={OTHER}", "sleep", "infinity")
    try:
        yield "/sys/fs/cgroup" + show(OTHER, "ControlGroup")
    finally:
        run("systemctl", "stop", OTHER)


@pytest.fixture(scope="module", params=["forker", "forker32"])
def forked(request):
    with other_group() as group:
        return run_watched("fork", request.param, group)


def test_caller(forked):
    check_caller(forked)


def test_child(forked):
    check_all(forked, "child_pid", lambda line: number(line["child"]) if line["result"] > 0 else None)


def test_flags(forked):
    check_all(forked, "flags", lambda line: line["flags"].encode() if "flags" in line else None)


def test_unit_of_a_child_that_is_put_elsewhere(forked):
    check_all(forked, "target_unit", lambda line: OTHER.encode() if line["name"] == "into-cgroup" else None)


def test_ids_of_a_namespace(forked):
    lines = {line["name"]: (line, record) for line, record in pairs(forked)}
    line, record = lines["in-namespace"]
    assert line["result"] != line["child"]
    assert (record.result, record.child_pid) == (number(line["result"]), number(line["child"]))


def test_message(forked):
    for line, record in pairs(forked):
        came = line["errno"] if line["result"] < 0 else line["result"]
        flags = f" {line['flags']}" if "flags" in line else ""
        assert record.text("MESSAGE").endswith(f": fork{flags} = {came}")
