"""The events setuid, setgid and capset: each call that the program tells of is a record, and there is no other."""

import os
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS,
    check_all,
    compare,
    number,
    pairs,
    records,
    run_service,
    watch_properties,
    watching,
)

EVENTS = ("setuid", "setgid", "capset")
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module",
    "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time",
    "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
# Which id each letter of the account stands for, in the order of /proc.
IDS = {"r": "new_{}", "e": "new_e{}", "s": "new_s{}", "f": "new_fs{}"}


@pytest.fixture(scope="module", params=["credentials", "credentials32"])
def changed(request):
    """A program's account, its records, and the counts of its watch."""
    name = request.param
    unit = f"test-{name}.service"
    with watching(unit, *EVENTS) as watch:
        account = run_service(unit, PROGRAMS / name)
        found = records(unit)
        counts = watch_properties(watch)
    return SimpleNamespace(name=name, unit=unit, account=account, records=found, counts=counts)


def names_of(value):
    """A set of capabilities as the manual has it."""
    bits = [f"CAP_{name.upper()}" for i, name in enumerate(CAPABILITIES) if value & (1 << i)]
    rest = value & ~((1 << len(CAPABILITIES)) - 1)
    return "|".join(bits + ([f"0x{rest:x}"] if rest else [])).encode() or b"0"


def ids_of(line):
    """The ids that a record has."""
    if line["name"] == "namespace":
        # Number 5 of its own namespace is root of the first one.
        return [0, 0, 0, 0]
    if line["result"] >= 0:
        return line["after"]
    asked = [line["asked"].get(letter, -1) for letter in IDS]
    return [None if id == -1 else id for id in asked]


def test_one_to_one(changed):
    told = [(line["event"].encode(), line["pid"], line["result"]) for line in changed.account]
    assert [(r.event, int(r.pid), int(r.result)) for r in changed.records] == told, compare(changed)
    for event in EVENTS:
        assert event in {line["event"] for line in changed.account if line["result"] < 0}
        assert event in {line["event"] for line in changed.account if line["result"] >= 0}


def test_the_ledger_agrees(changed):
    events = [line["event"] for line in changed.account]
    expected = {event: [events.count(event), events.count(event), 0, 0] for event in EVENTS}
    assert changed.counts["EventCounts"] == expected


def test_errors_by_name(changed):
    # These return an id, however great.
    fails = lambda line: line["result"] < 0  # noqa: E731
    check_all(changed, "errno", lambda line: line["errno"].encode() if fails(line) else None)
    assert [r["PRIORITY"] for r in changed.records] == [b"5" if fails(line) else b"6" for line in changed.account]


@pytest.mark.parametrize("letter", IDS)
@pytest.mark.parametrize("event", ["setuid", "setgid"])
def test_ids(changed, event, letter):
    def expected(line):
        if line["event"] != event:
            return None
        id = ids_of(line)["resf".index(letter)]
        return None if id is None else number(id)

    check_all(changed, IDS[letter].format("uid" if event == "setuid" else "gid"), expected)


@pytest.mark.parametrize("place, field", list(enumerate(["cap_effective", "cap_permitted", "cap_inheritable"])))
def test_capabilities(changed, place, field):
    def expected(line):
        if line["event"] != "capset":
            return None
        sets = line["after"] if line["result"] == 0 else line.get("asked")
        return names_of(sets[place]) if sets else None

    check_all(changed, field, expected)


def test_system_call(changed):
    check_all(changed, "syscall", lambda line: line["call"].encode())
    check_all(changed, "abi", lambda line: b"i386" if changed.name.endswith("32") else b"x86-64")


def test_process(changed):
    """Who called, as it was before the call."""
    in_namespace = lambda line: line["name"].startswith("namespace")  # noqa: E731
    check_all(changed, "pid", lambda line: number(line["pid"]))
    check_all(changed, "tid", lambda line: number(line["tid"]))
    check_all(changed, "ppid", lambda line: number(line["ppid"]))
    check_all(changed, "uid", lambda line: number(0 if in_namespace(line) else line["uid"]))
    check_all(changed, "gid", lambda line: number(0 if in_namespace(line) else line["gid"]))
    check_all(changed, "exe", lambda line: os.fsencode(PROGRAMS / changed.name))
    check_all(changed, "comm", lambda line: changed.name.encode())
    check_all(changed, "unit", lambda line: changed.unit.encode())
    check_all(changed, "invocation_id", lambda line: line["invocation"].encode())


def test_message(changed):
    for line, record in pairs(changed):
        assert record.text("MESSAGE").isprintable()
        if line["name"] == "three":
            kind = line["event"]
            assert record.text("MESSAGE").endswith(f": {kind} real 1 effective 2 saved 3 file-system 2 = 0")
        if line["name"] == "all":
            assert record.text("MESSAGE").endswith(": capset effective all permitted all inheritable all = 0")
