"""From the first instruction: the first exec of a unit, and control groups below it."""

import os

import pytest
from harness import (
    PROGRAMS, SCRATCH, daemon_reload, make_directory, read_account, records, run, run_service, service_text, wait_for, watching,
    watch_properties, write_unit,
)  # fmt: skip

STARTS = 200
CGROUPS = "/sys/fs/cgroup/system.slice"


@pytest.fixture
def unit():
    account = SCRATCH / "starts.account"
    account.unlink(missing_ok=True)
    text = service_text(f"{PROGRAMS}/flood 0 /", account, Type="oneshot")
    path = write_unit("tl-start.service", text + "[Unit]\nStartLimitIntervalSec=0\n")
    daemon_reload()
    yield account
    path.unlink()
    daemon_reload()


def test_the_first_exec_of_each_of_200_starts(unit):
    with watching("tl-start.service", "exec") as watch:
        run("sh", "-ec", f"i=0; while [ $i -lt {STARTS} ]; do systemctl start tl-start.service; i=$((i+1)); done", timeout=600)
        told = [line["invocation"].encode() for line in read_account(unit)]
        assert len(set(told)) == STARTS
        found = records("tl-start.service")
        assert [r.invocation_id for r in found] == told
        assert {r.path for r in found} == {os.fsencode(PROGRAMS / "flood")}
        assert {r.cgroup for r in found} == {b"/system.slice/tl-start.service"}
        assert watch_properties(watch)["EventCounts"] == {"exec": [STARTS, STARTS, 0, 0]}


def test_control_groups_below_the_unit_are_covered():
    """A unit with Delegate= makes groups, nested, and moves its processes into them."""
    directory = make_directory("delegate")
    group = f"{CGROUPS}/test-delegate.service"
    script = f"""
        mkdir {group}/a {group}/a/b {group}/test-other.service
        run() {{ (echo 0 >$1/cgroup.procs; exec {PROGRAMS}/flood $2 {directory}/$3); }}
        touch {directory}/top {directory}/child {directory}/nested {directory}/named
        mkdir {group}/main
        run {group}/a 5 child
        run {group}/a/b 7 nested
        run {group}/test-other.service 3 named
        run {group} 2 top
        rmdir {group}/a/b {group}/a {group}/test-other.service {group}/main
    """
    with watching("test-delegate.service", "open", "exec"), watching("test-other.service", "open"):
        run_service("test-delegate.service", "/bin/sh", "-ec", script, Delegate="yes")
        found = records("test-delegate.service")
        assert records("test-other.service", "open") == []
    places = {"child": ("/a", 5), "nested": ("/a/b", 7), "named": ("/test-other.service", 3), "top": ("", 2)}
    prefix = b"/system.slice/test-delegate.service"
    for name, (place, count) in places.items():
        path = os.fsencode(directory / name)
        read_only = [r for r in found if r.event == b"open" and r.path == path and b"O_CREAT" not in r.flags]
        assert [r.cgroup for r in read_only] == [prefix + place.encode()] * count, name
        executed = [r for r in found if r.event == b"exec" and r.comm == b"flood" and path in r.argv]
        assert [r.cgroup for r in executed] == [prefix + place.encode()], name
    assert len({r.invocation_id for r in found}) == 1
    assert {r.slice for r in found} == {b"system.slice"}


def test_a_group_elsewhere_of_the_same_name_is_not_the_unit():
    other = f"{CGROUPS}/test-elsewhere.service"
    script = f"mkdir {other}/test-here.service; echo 0 >{other}/test-here.service/cgroup.procs; {PROGRAMS}/nop"
    with watching("test-here.service", "exec"):
        run_service("test-elsewhere.service", "/bin/sh", "-ec", script, Delegate="yes")
        assert records("test-here.service", "exec") == []
        run_service("test-here.service", PROGRAMS / "nop")
        assert len(records("test-here.service", "exec")) == 1


def test_fifty_at_once():
    """Instances of a template, in one transaction."""
    path = write_unit("tl-many@.service", service_text(f"{PROGRAMS}/nop", "/dev/null", Type="oneshot"))
    daemon_reload()
    names = [f"tl-many@{n}.service" for n in range(50)]
    try:
        with watching("tl-many@.service", "exec") as watch:
            run("systemctl", "start", *names, timeout=300)
            wait_for(lambda: watch_properties(watch)["Seen"] == len(names), "all of them are seen", timeout=30)
            found = [r.text("TRACELEFT_UNIT") for r in records(None, "exec")]
            assert sorted(unit for unit in found if unit.startswith("tl-many@")) == sorted(names)
    finally:
        path.unlink()
