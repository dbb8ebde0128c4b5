"""Returns that the kernel misses: what blocks elsewhere uses up the return probes of a function, and costs no record."""

from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, SCRATCH, TRACEFS, blocking, check_all, cursor, definitions, make_directory, number, pairs, properties, records, run_service,
    watch_properties, watching,
)  # fmt: skip

# It passes on all kernels; on one it takes minutes already.
pytestmark = [pytest.mark.daemon, pytest.mark.default_backend]

BLOCKED = 64
CALLS = 100
# By event: the function whose returns are taken, the numbers of the calls that block in it, and whether a success
# is known without the return.
KINDS = {
    "open": ("do_sys_openat2", {2, 257}, True),
    "read": ("ksys_read", {0}, True),
    "write": ("ksys_write", {1}, True),
    "tcp-accept": ("__sys_accept4", {288}, True),
    "unix-connect": ("unix_stream_connect", {42}, False),
    "fork": ("kernel_clone", {58}, True),
    # The caller waits outside of this function.
    "tcp-connect": ("tcp_v4_connect", {42}, True),
}
NEVER_HELD = "tcp-connect"
# What tells the calls of a kind apart: field, and how it is in the account.
MARKS = {
    "open": ("path_arg", bytes.fromhex),
    "read": ("requested", number),
    "write": ("requested", number),
    "tcp-accept": ("sport", number),
    "tcp-connect": ("dport", number),
    "unix-connect": ("abstract", bytes.fromhex),
    "fork": ("child_pid", lambda child: number(child) if child else None),
}


def missed_by_bus(function):
    return sum(p[3] for p in properties()["Probes"] if p[:2] == [function, "kretprobe"])


def missed_by_kernel(function):
    """What the kernel says of the definitions of returns of a function."""
    ours = {line.split()[0].split("/")[1] for line in definitions() if line[0] == "r" and line.split()[1] == function}
    lines = [line.split() for line in (TRACEFS / "kprobe_profile").read_text().splitlines()]
    found = [int(misses) for name, _, misses in lines if name in ours]
    assert len(found) == len(ours) == 1
    return found[0]


@pytest.fixture(scope="module", params=KINDS)
def missed(request):
    """What a unit did while the others blocked, what was recorded of it, and what was counted."""
    event = request.param
    function, numbers, _ = KINDS[event]
    unit = f"test-missed-{event}.service"
    since = cursor()
    with watching(unit, event) as watch:
        before = (missed_by_kernel(function), missed_by_bus(function))
        # The probes are there now, so the calls that block from here on hold their instances.
        with blocking(event, BLOCKED, numbers):
            account = run_service(unit, PROGRAMS / "caller", event, CALLS, make_directory("caller"))
            found = records(unit, since=since)
            counts = watch_properties(watch)
        # Nobody blocks any more, so that the counts stand still.
        after = (missed_by_kernel(function), missed_by_bus(function))
    own = bytes(SCRATCH / f"{unit}.account")
    return SimpleNamespace(
        event=event,
        unit=unit,
        account=account,
        records=[r for r in found if r.path != own],
        all_records=found,
        counts=counts,
        misses=tuple(now - then for now, then in zip(after, before)),
    )


def is_known(missed, line):
    """Whether the result can be told though the return was missed."""
    return missed.event == NEVER_HELD or (line["result"] >= 0 and KINDS[missed.event][2])


def test_all_are_there_in_order(missed):
    assert [line["result"] >= 0 for line in missed.account] == [True, False] * CALLS
    field, form = MARKS[missed.event]
    assert [getattr(r, field) for r in missed.records] == [form(line["mark"]) for line in missed.account]


def test_each_is_the_call_that_was_made(missed):
    check_all(missed, "event", lambda line: missed.event.encode())
    check_all(missed, "syscall", lambda line: line["call"].encode())
    check_all(missed, "abi", lambda line: b"x86-64")
    for field in ("pid", "tid", "ppid", "uid", "gid"):
        check_all(missed, field, lambda line, field=field: number(line[field]))
    check_all(missed, "comm", lambda line: b"caller")
    check_all(missed, "invocation_id", lambda line: line["invocation"].encode())
    # Of a record that the next call sends, the executable is not looked up any more.
    for line, record in pairs(missed):
        assert record.exe == bytes(PROGRAMS / "caller") or (record.exe is None and not is_known(missed, line)), line
    times = [int(r.timestamp) for r in missed.records]
    assert times == sorted(times)


def test_a_result_is_told_or_said_to_be_missed(missed):
    for line, record in pairs(missed):
        known = is_known(missed, line)
        assert record.result == (number(line["result"]) if known else None), line
        assert record.result_missed == (None if known else b"1"), line
        assert record.errno == (line["errno"].encode() if known and line["result"] < 0 else None), line


def test_the_ledger_agrees(missed):
    told = sum(r.result_missed is not None for r in missed.all_records)
    n = len(missed.all_records)
    assert told == sum(not is_known(missed, line) for line in missed.account)
    assert missed.counts["EventCounts"] == {missed.event: [n, n, 0, told]}
    assert (missed.counts["Lost"], missed.counts["ResultsMissed"]) == (0, told)


def test_the_kernel_counts_the_same(missed):
    by_kernel, by_bus = missed.misses
    assert by_kernel == by_bus
    # Nothing is made up: each was missed by the kernel, and so was the return of each call that it was known without.
    assert by_kernel >= (0 if missed.event == NEVER_HELD else len(missed.account))
    assert by_kernel >= missed.counts["ResultsMissed"]
