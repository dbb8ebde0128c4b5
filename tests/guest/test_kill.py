"""The event kill: each process that a signal was sent to is a record, and each call that found none."""

from itertools import groupby

import pytest
from harness import check_all, check_caller, compare, number, pairs, run_watched
from test_exit import signal_name


def by_target(run):
    """The order in which a call finds its targets is the kernel's: both sides of one call are sorted by target."""
    records = iter(run.records)
    account, found = [], []
    for _, lines in groupby(run.account, key=lambda line: line["number"]):
        lines = sorted(lines, key=lambda line: line.get("target", 0))
        account += lines
        part = [record for _, record in zip(lines, records)]
        found += sorted(part, key=lambda record: int(record.target_pid or 0))
    found += records
    run.account, run.records = account, found
    return run


@pytest.fixture(scope="module", params=["signaller", "signaller32"])
def sent(request):
    return by_target(run_watched("kill", request.param))


def name_of(line):
    n = line["signal"]
    return signal_name(n) if 0 < n < 64 else "SIGRTMAX" if n == 64 else str(n)


def test_caller(sent):
    assert len(sent.records) == len(sent.account), compare(sent)
    check_caller(sent)


def test_signal(sent):
    check_all(sent, "signal", lambda line: name_of(line).encode())
    check_all(sent, "signal_number", lambda line: number(line["signal"]))


def test_target(sent):
    check_all(sent, "target_pid", lambda line: number(line["target"]) if "target" in line else None)
    check_all(sent, "target_tid", lambda line: number(line["target_tid"]) if "target_tid" in line else None)
    check_all(sent, "target_comm", lambda line: line["target_comm"].encode() if "target_comm" in line else None)
    check_all(sent, "target_unit", lambda line: sent.unit.encode() if "target_comm" in line else None)


def test_descriptor(sent):
    fds = {line["name"]: record.fd for line, record in pairs(sent) if line["call"] == "pidfd_send_signal"}
    assert fds["bad-descriptor"] == b"77"
    assert None not in fds.values()
    check_all(sent, "fd", lambda line: fds.get(line["name"]) if line["call"] == "pidfd_send_signal" else None)


def test_message(sent):
    for line, record in pairs(sent):
        text = record.text("MESSAGE")
        assert f": kill {name_of(line)} to " in text
        if "target_comm" in line:
            assert f" to {line['target_comm']}[{line['target']}] = " in text
