"""Probes: defined while a watch needs them, with maxactive, and never left behind."""

import re

import pytest
from harness import (
    SERVICE, TRACEFS, add_watch, definitions, properties, remove_watch, run, settings, watching,
)  # fmt: skip

pytestmark = [pytest.mark.daemon, pytest.mark.default_backend]


def returns():
    return [d for d in definitions() if d.startswith("r")]


def functions():
    return {line.split()[1].partition("+")[0] for line in definitions()}


def test_none_without_a_watch():
    assert definitions() == []
    assert properties()["Probes"] == []


@pytest.mark.parametrize("event", ["open", "exec", "tcp-connect"])
def test_returns_have_maxactive_of_16(event):
    with watching("some.service", event):
        assert returns()
        assert all(re.match(r"r16:traceleft/\w+ \w+", line) for line in returns()), returns()
        # The bus tells of the same probes.
        kinds = {p[1] for p in properties()["Probes"]}
        assert {p[0] for p in properties()["Probes"]} >= functions() - {"kernfs_vfs_xattr_set"}
        assert kinds == {"kprobe", "kretprobe"} | ({"tracepoint"} if event == "tcp-connect" else set())
    assert definitions() == []


def test_only_what_is_needed_and_until_the_last_watch_goes():
    with watching("some.service", "open"):
        of_open = functions()
    first, second = add_watch("one.service", "open"), add_watch("two.service", "open", "exec")
    of_both = functions()
    assert of_open < of_both
    remove_watch(second)
    assert functions() == of_open
    remove_watch(first)
    assert definitions() == []


def test_definitions_of_others_are_left_alone():
    events = TRACEFS / "kprobe_events"
    run("sh", "-ec", f"echo p:tl_other/probe do_sys_openat2 >>{events}")
    try:
        with watching("some.service", "open"):
            pass
        run("systemctl", "restart", SERVICE)
        assert "p:tl_other/probe" in events.read_text()
    finally:
        run("sh", "-ec", f"echo -:tl_other/probe >>{events}")


def test_maxactive_is_a_setting():
    with settings("maxactive = 32\n"):
        with watching("some.service", "open"):
            assert returns()
            assert all(line.startswith("r32:traceleft/") for line in returns()), returns()


def test_a_stop_removes_all():
    add_watch("some.service", "open", "exec", "tcp-connect")
    run("systemctl", "stop", SERVICE)
    assert definitions() == []
    run("systemctl", "start", SERVICE)
    assert definitions() == []
