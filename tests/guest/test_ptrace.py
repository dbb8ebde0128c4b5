"""The event ptrace: each request that the program tells of is a record."""

import pytest
from harness import check_all, check_caller, number, pairs, run_watched


@pytest.fixture(scope="module", params=["tracer", "tracer32"])
def traced(request):
    return run_watched("ptrace", request.param)


def test_caller(traced):
    check_caller(traced)


def test_request(traced):
    check_all(traced, "request", lambda line: line["request"].encode())


def test_target(traced):
    check_all(traced, "target_pid", lambda line: number(line["target"]))
    check_all(traced, "target_tid", lambda line: number(line["target_tid"]))
    check_all(traced, "target_comm", lambda line: line["target_comm"].encode() if "target_comm" in line else None)
    check_all(traced, "target_unit", lambda line: traced.unit.encode() if "target_comm" in line else None)


def test_message(traced):
    for line, record in pairs(traced):
        assert f": ptrace {line['request']} " in record.text("MESSAGE")
