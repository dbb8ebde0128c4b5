"""The bus: how it reads to people, what it refuses, and who may."""

import os
import re
import threading

import pytest
from harness import (
    BUS_NAME, ERROR, MANAGER, OTHER_EVENTS, PROGRAMS, BusError, add_watch, busctl, call, cursor, error_name, flush, managed_objects, output,
    policy, properties, records, remove_watch, run_service, watch_properties, watches, watching,
)  # fmt: skip

pytestmark = pytest.mark.daemon

NOBODY = 65534
MANAGER_MEMBERS = {
    ".AddWatch": ("method", "sas", "o"),
    ".RemoveWatch": ("method", "o", "-"),
    ".Reload": ("method", "-", "-"),
    ".Flush": ("method", "-", "-"),
    ".Version": ("property", "s"),
    ".Seen": ("property", "t"),
    ".Recorded": ("property", "t"),
    ".Lost": ("property", "t"),
    ".LostByCause": ("property", "a{st}"),
    ".ResultsMissed": ("property", "t"),
    ".Probes": ("property", "a(sstt)"),
}
CAUSES = ["decode", "journal", "probe", "ring", "state"]


def introspect(path, interface):
    """Members as busctl prints them, in columns."""
    lines = output("busctl", "introspect", BUS_NAME, path, interface).splitlines()[1:]
    return {words[0]: words[1:] for words in map(str.split, lines)}


def test_introspection():
    members = introspect(MANAGER, "org.traceleft1.Manager")
    assert members.keys() == MANAGER_MEMBERS.keys()
    for name, (kind, *signature) in MANAGER_MEMBERS.items():
        assert members[name][: 1 + len(signature)] == [kind, *signature], name


def test_every_property_can_be_read():
    for name, (kind, signature, *_) in MANAGER_MEMBERS.items():
        if kind == "property":
            text = output("busctl", "get-property", BUS_NAME, MANAGER, "org.traceleft1.Manager", name[1:])
            assert text.startswith(signature), text
    assert sorted(properties()["LostByCause"]) == CAUSES


def test_tree_and_objects_follow_the_watches():
    first, second = add_watch("one.service", "open"), add_watch("two.slice", "exec", "tcp-connect")
    tree = output("busctl", "tree", "--list", BUS_NAME).split()
    assert first in tree and second in tree and MANAGER in tree
    values = watch_properties(second)
    assert values["Unit"] == "two.slice"
    assert sorted(values["Events"]) == ["exec", "tcp-connect"]
    assert (values["Origin"], values["Policy"]) == ("run-time", "")
    assert values["ControlGroups"] == []
    assert {n: values[n] for n in ("Seen", "Recorded", "Lost", "ResultsMissed")} == {
        "Seen": 0, "Recorded": 0, "Lost": 0, "ResultsMissed": 0
    }  # fmt: skip
    assert sorted(values["LostByCause"]) == CAUSES
    assert values["EventCounts"] == {"exec": [0, 0, 0, 0], "tcp-connect": [0, 0, 0, 0]}
    assert {first, second} <= managed_objects().keys()
    remove_watch(first)
    remove_watch(second)
    assert not {first, second} & managed_objects().keys()
    assert first not in output("busctl", "tree", "--list", BUS_NAME)


def test_a_number_is_never_used_twice():
    with watching("one.service", "open") as first:
        pass
    with watching("one.service", "open") as second:
        assert first != second


@pytest.mark.parametrize(
    ("method", "words", "name"),
    [
        ("AddWatch", ["string:a.service", "array:string:opne"], "UnknownEvent"),
        ("AddWatch", ["string:a.service", "array:string:open,@fle"], "UnknownEvent"),
        ("AddWatch", ["string:a", "array:string:open"], "InvalidUnitName"),
        ("AddWatch", ["string:", "array:string:open"], "InvalidUnitName"),
        ("AddWatch", ["string:a.timer", "array:string:open"], "InvalidUnitName"),
        ("AddWatch", ["string:../a.service", "array:string:open"], "InvalidUnitName"),
        ("AddWatch", ["string:a*", "array:string:open"], "InvalidUnitName"),
        ("RemoveWatch", ["objpath:/org/traceleft1/watch/4294967295"], "NoSuchWatch"),
        ("RemoveWatch", ["objpath:/org/traceleft1"], "NoSuchWatch"),
    ],
)
def test_mistakes_have_names_and_change_nothing(method, words, name):
    assert error_name(method, *words) == ERROR + name
    assert watches() == {}


def test_no_events_is_a_mistake():
    with pytest.raises(BusError, match="at least one event"):
        call("AddWatch", "sas", "a.service", "0")


def test_the_watch_of_a_policy_cannot_be_removed():
    with policy("test-owned", ["owned.service"], ["exec"]):
        (path,) = [p for p, i in managed_objects().items() if "org.traceleft1.Watch" in i]
        assert error_name("RemoveWatch", f"objpath:{path}") == ERROR + "NotRunTime"
        assert watches() == {("owned.service", "test-owned"): ["exec"]}
        assert watch_properties(path)["Origin"] == "policy"


@pytest.mark.parametrize("words", [("Flush",), ("Reload",), ("AddWatch", "sas", "a.service", "1", "open")])
def test_other_users_are_refused(words):
    with pytest.raises(BusError, match="(?i)denied|not allowed|rejected"):
        call(*words, user=NOBODY)
    assert watches() == {}


def test_other_users_may_not_read():
    with pytest.raises(BusError, match="(?i)denied|not allowed|rejected"):
        busctl("get-property", BUS_NAME, MANAGER, "org.traceleft1.Manager", "Seen", user=NOBODY)


def test_flush_goes_beside_other_calls():
    """Many calls at a time: all are answered, and what happened before a flush is in the journal after it."""
    errors = []

    def repeat(action):
        try:
            for _ in range(4):
                action()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    with watching("test-flush.service", "open"):
        threads = [threading.Thread(target=repeat, args=[action]) for action in (flush, flush, properties, managed_objects)]
        for thread in threads:
            thread.start()
        run_service("test-flush.service", PROGRAMS / "flood", 200, "/etc/hostname")
        flush()
        assert len(records("test-flush.service", flushed=False)) == 200
        for thread in threads:
            thread.join()
    assert errors == []


def test_who_adds_and_removes_is_a_record():
    since = cursor()
    path = add_watch("audited.service", "open", "exec")
    remove_watch(path)
    found = records(None, *OTHER_EVENTS, since=since)
    added, removed = [r for r in found if r.target == b"audited.service"]
    assert (added.event, removed.event) == (b"watch-added", b"watch-removed")
    for record in (added, removed):
        assert record.watch == path.encode()
        assert sorted(record.events.split()) == [b"exec", b"open"]
        assert record.caller_uid == b"0"
        assert record.caller_pid.isdigit() and int(record.caller_pid) != os.getpid()
        # The tests came in by ssh: a login, in a scope of its own.
        assert re.fullmatch(rb"session-\w+\.scope", record.caller_unit)
        assert record["MESSAGE_ID"] == b"d33cfe1005b942fca90e2dd2bcbb0f3e"
