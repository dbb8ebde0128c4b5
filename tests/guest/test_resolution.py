"""A watch follows its unit: before it runs, through restarts, whatever happens to systemd and the bus."""

import os

import pytest
from harness import (
    PROGRAMS, SCRATCH, SERVICE, BusError, add_watch, cursor, daemon_reload, map_keys, maps, read_account, records, remove_watch, run,
    run_service, service_text, show, wait_for, watch_properties, watching, write_unit,
)  # fmt: skip

pytestmark = pytest.mark.daemon

FLOOD = f"{PROGRAMS}/flood 1 /etc/hostname"


@pytest.fixture(scope="module", autouse=True)
def units():
    """All units of this file, made at once: reading them again takes systemd a while."""
    accounts = {name: SCRATCH / f"{name}.account" for name in ("steady", "alias", "tmpl-a", "tmpl-b", "sliced", "late")}
    for path in accounts.values():
        path.write_text("")
    oneshot = {"Type": "oneshot"}
    files = [
        write_unit("tl-steady.service", service_text(FLOOD, accounts["steady"], **oneshot)),
        write_unit("tl-primary.service", service_text(FLOOD, accounts["alias"], **oneshot)),
        write_unit("tl-tmpl@.service", service_text(FLOOD, SCRATCH / "tmpl-%i.account", **oneshot)),
        write_unit("tl-run.slice", "[Slice]\n"),
        write_unit("tl-sliced.service", service_text("/bin/sleep infinity", accounts["sliced"], Slice="tl-run.slice")),
        write_unit("tl-late.service", service_text(FLOOD, accounts["late"], Slice="tl-run-deep.slice", **oneshot)),
    ]
    link = files[0].with_name("tl-alias.service")
    link.symlink_to("tl-primary.service")
    daemon_reload()
    yield accounts
    run("systemctl", "stop", "tl-sliced.service", "tl-run.slice", check=False)
    for path in [*files, link]:
        path.unlink()
    daemon_reload()


def start(unit):
    run("systemctl", "start", unit)


def told(path):
    """Invocation ids, as the units themselves have them in their environment."""
    return [line["invocation"].encode() for line in read_account(path)]


def opens_of(unit):
    """Invocation ids of the records of opens of what the program opens."""
    return [r.invocation_id for r in records(unit, "open") if r.path == b"/etc/hostname"]


def test_restarts_and_what_happens_to_systemd(units):
    """Each start is an invocation of its own, and none is missed after systemd or the bus came back."""
    with watching("tl-steady.service", "open", "exec") as watch:
        assert watch_properties(watch)["ControlGroups"] == []
        for _ in range(3):
            start("tl-steady.service")
        run("systemctl", "daemon-reexec")
        start("tl-steady.service")
        daemon_reload()
        start("tl-steady.service")
        ids = told(units["steady"])
        assert len(set(ids)) == 5
        assert opens_of("tl-steady.service") == ids
        assert [r.invocation_id for r in records("tl-steady.service", "exec")] == ids


def test_the_bus_is_restarted(units):
    before = len(told(units["steady"]))
    watch = add_watch("tl-steady.service", "open")
    pid = show(SERVICE, "MainPID")
    run("systemctl", "restart", "dbus.service")
    # systemd itself needs the new bus for what follows.
    start("tl-steady.service")
    wait_for(lambda: run("busctl", "status", "org.traceleft1", check=False).returncode == 0, "the bus name is back")
    start("tl-steady.service")
    ids = told(units["steady"])[before:]
    assert len(ids) == 2
    assert [i for i in opens_of("tl-steady.service") if i in ids] == ids
    assert show(SERVICE, "MainPID") == pid
    other = add_watch("tl-primary.service", "exec")
    assert watch_properties(other)["Unit"] == "tl-primary.service"
    remove_watch(other)
    remove_watch(watch)


def test_an_alias_means_its_unit(units):
    with watching("tl-alias.service", "open"):
        start("tl-primary.service")
        assert opens_of("tl-primary.service") == told(units["alias"])
    assert records("tl-alias.service") == []


def test_a_template_means_its_instances(units):
    with watching("tl-tmpl@.service", "open"):
        start("tl-tmpl@a.service")
        start("tl-tmpl@b.service")
        for name in ("a", "b"):
            assert opens_of(f"tl-tmpl@{name}.service") == told(units[f"tmpl-{name}"])
            slices = {r.slice for r in records(f"tl-tmpl@{name}.service")}
            assert slices == {rb"system-tl\x2dtmpl.slice"}


def test_a_pattern_means_what_it_matches(units):
    """Beside a template and another pattern: each watch has its own, also of what is matched by two."""
    seen = {}
    with (
        watching("tl-t*@[!b].service", "open") as first,
        watching("tl-*@b.service", "open") as second,
        watching("tl-tmpl@.service", "exec") as template,
        watching("tl-*.service", "exec") as all_of_them,
    ):
        before = {name: len(told(units[f"tmpl-{name}"])) for name in "ab"}
        for name in "aab":
            start(f"tl-tmpl@{name}.service")
        start("tl-steady.service")
        for name in "ab":
            unit = f"tl-tmpl@{name}.service"
            ids = told(units[f"tmpl-{name}"])[before[name]:]
            assert [i for i in opens_of(unit) if i in ids] == ids
            assert [r.invocation_id for r in records(unit, "exec") if r.invocation_id in ids] == ids
        for watch in (first, second, template, all_of_them):
            seen[watch] = {event: counts[0] for event, counts in watch_properties(watch)["EventCounts"].items()}
    # What a program opens is the same each time: the two starts of a are two of b.
    assert seen[first]["open"] == 2 * seen[second]["open"] > 0
    assert seen[template] == {"exec": 3}
    assert seen[all_of_them] == {"exec": 4}


def pattern_states():
    """How many states the patterns have in the kernel, in each map of them."""
    return [m["max_entries"] for m in maps("pattern_states")]


def test_patterns_leave_nothing_behind(units):
    with watching("tl-*.service", "open"), watching("*@.service.service", "open"):
        assert map_keys("names")
        (first,) = wait_for(lambda: len(pattern_states()) == 1 and pattern_states(), "the states of before to go")
        with watching("tl-?[0-9]*.slice", "open"):
            wait_for(lambda: [first < n for n in pattern_states()] == [True], "those of more patterns alone")
    # There is always the state from which nothing matches.
    wait_for(lambda: pattern_states() == [1], "no states of patterns")
    assert map_keys("names") == []


def test_patterns_have_a_limit():
    """Which of the last twenty bytes is an "a" takes a million states."""
    with pytest.raises(BusError, match="patterns of all watches"):
        add_watch("*a????????????????????.service", "open")
    with watching("tl-*.service", "open"):
        start("tl-steady.service")
        assert records("tl-steady.service", "open")


def test_a_slice_means_what_is_in_it_now_and_later(units):
    start("tl-sliced.service")
    with watching("tl-run.slice", "open", "exec") as watch:
        groups = watch_properties(watch)["ControlGroups"]
        assert "/tl.slice/tl-run.slice/tl-sliced.service" in groups
        # A process that is there already, and a unit that is not, in a slice that is not.
        pid = show("tl-sliced.service", "MainPID")
        run("systemctl", "kill", "-s", "TERM", "tl-sliced.service")
        wait_for(lambda: show("tl-sliced.service", "MainPID") != pid, "the end of sleep")
        start("tl-sliced.service")
        start("tl-late.service")
        assert opens_of("tl-late.service") == told(units["late"])
        (late,) = records("tl-late.service", "exec")
        assert late.slice == b"tl-run-deep.slice"
        assert late.cgroup == b"/tl.slice/tl-run.slice/tl-run-deep.slice/tl-late.service"
        assert [r.path for r in records("tl-sliced.service", "exec")] == [os.fsencode(os.path.realpath("/bin/sleep"))]


def test_a_pattern_of_slices_means_what_is_in_them(units):
    since = cursor()
    with watching("tl-r?n.slice", "exec"), watching("tl-run-*.slice", "open") as deep:
        start("tl-sliced.service")
        start("tl-late.service")
        ids = told(units["late"])[-1:]
        assert [i for i in opens_of("tl-late.service") if i in ids] == ids
        assert ids[0] in [r.invocation_id for r in records("tl-late.service", "exec")]
        assert records("tl-sliced.service", "open", since=since) == []
        assert watch_properties(deep)["ControlGroups"] in ([], ["/tl.slice/tl-run.slice/tl-run-deep.slice"])
        run("systemctl", "stop", "tl-sliced.service")


def test_a_unit_that_runs_when_the_watch_is_made():
    fifo = SCRATCH / "go"
    fifo.unlink(missing_ok=True)
    run("mkfifo", fifo)
    script = f"read word <{fifo}; exec {PROGRAMS}/flood 7 /etc/hostname"
    run("systemd-run", "--quiet", "--unit=tl-running", "--property=RemainAfterExit=yes", "/bin/sh", "-c", script)
    with watching("tl-running.service", "open") as watch:
        assert watch_properties(watch)["ControlGroups"] == ["/system.slice/tl-running.service"]
        invocation = show("tl-running.service", "InvocationID").encode()
        fifo.write_text("go\n")
        wait_for(lambda: show("tl-running.service", "SubState") == "exited", "the end of the program")
        opened = [r for r in records("tl-running.service") if r.path == b"/etc/hostname"]
        assert [r.invocation_id for r in opened] == [invocation] * 7
    run("systemctl", "stop", "tl-running.service")


def test_a_scope_can_be_watched():
    with watching("tl-scope.scope", "exec"):
        invocation = "readlink /run/systemd/units/invocation:tl-scope.scope"
        told = run("systemd-run", "--quiet", "--scope", "--unit=tl-scope", "sh", "-c", f"{invocation}; {PROGRAMS}/nop").stdout
        # systemd-run itself is moved into the scope and then executes the program.
        shell, _, nop = records("tl-scope.scope", "exec")
        assert (os.path.basename(shell.path), nop.path) == (b"dash", os.fsencode(PROGRAMS / "nop"))
        assert {shell.invocation_id, nop.invocation_id} == {told.strip().encode()}


def test_a_name_that_is_used_again_after_the_watch_is_not_watched():
    with watching("test-again.service", "exec"):
        run_service("test-again.service", PROGRAMS / "nop")
    run_service("test-again.service", PROGRAMS / "nop")
    assert len(records("test-again.service")) == 1
