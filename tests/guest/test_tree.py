"""Control groups below a unit, however they are made and whoever comes and goes in them; and none elsewhere."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import (
    PROGRAMS, SCRATCH, USER, cursor, daemon_reload, make_directory, map_keys, read_account, records, run, run_service, show,
    wait_for, watch_properties, watching, write_unit,
)  # fmt: skip

pytestmark = pytest.mark.any_backend

HIERARCHY = Path("/sys/fs/cgroup")
SYSTEM = HIERARCHY / "system.slice"
DEPTH = 8
GROUPS = 10000


def opened(found, path):
    """The records of opens of a file, without that by which a shell made it."""
    return [r for r in found if r.event == b"open" and r.path == os.fsencode(path) and b"O_CREAT" not in r.flags]


@contextmanager
def standing(unit, **properties):
    """A unit that does nothing, and the directory of its control group."""
    settings = [f"--property={key}={value}" for key, value in {"Delegate": "yes", **properties}.items()]
    run("systemd-run", "--quiet", f"--unit={unit}", *settings, "sleep", "infinity")
    try:
        yield HIERARCHY / show(unit, "ControlGroup").lstrip("/")
    finally:
        run("systemctl", "stop", unit)


def test_nested_groups_are_covered():
    """A process in the unit's own group, and one in each of the groups nested below it."""
    unit = "test-nested.service"
    directory = make_directory("nested")
    group = f"{SYSTEM}/{unit}"
    below = ["/".join(f"d{n}" for n in range(1, depth + 1)) for depth in range(1, DEPTH + 1)]
    for depth in range(DEPTH + 1):
        (directory / str(depth)).touch()
    script = f"mkdir -p {group}/{below[-1]}\n" + "".join(
        f"(echo 0 >{group}/{path}/cgroup.procs; exec {PROGRAMS}/flood {depth} {directory}/{depth})\n"
        for depth, path in enumerate(["", *below])
    )
    since = cursor()
    with watching(unit, "open", "exec") as watch:
        account = run_service(unit, "/bin/sh", "-ec", script, Delegate="yes")
        found = records(unit, since=since)
        assert watch_properties(watch)["Lost"] == 0
    assert [line["opened"] for line in account] == list(range(DEPTH + 1))
    for depth, path in enumerate(["", *below]):
        place = f"/system.slice/{unit}/{path}".rstrip("/").encode()
        file = directory / str(depth)
        assert [r.cgroup for r in opened(found, file)] == [place] * depth
        executed = [r for r in found if r.event == b"exec" and os.fsencode(file) in r.argv and r.comm == b"flood"]
        assert [r.cgroup for r in executed] == [place]
    assert {r.invocation_id for r in found} == {line["invocation"].encode() for line in account}
    assert {r.slice for r in found} == {b"system.slice"}


def test_a_group_below_named_as_another_unit_is_not_that_unit():
    unit, other = "test-outer.service", "test-inner.service"
    group = f"{SYSTEM}/{unit}/{other}"
    script = f"mkdir {group}; echo 0 >{group}/cgroup.procs; exec {PROGRAMS}/flood 3 /etc/hostname"
    since = cursor()
    with watching(unit, "open", "exec"), watching(other, "open", "exec"):
        run_service(unit, "/bin/sh", "-ec", script, Delegate="yes")
        assert records(other, since=since) == []
        found = opened(records(unit, since=since), "/etc/hostname")
        assert [r.cgroup for r in found] == [f"/system.slice/{unit}/{other}".encode()] * 3


def test_a_group_elsewhere_of_the_same_name_is_not_the_unit():
    other = f"{SYSTEM}/test-elsewhere.service"
    script = f"mkdir {other}/test-here.service; echo 0 >{other}/test-here.service/cgroup.procs; {PROGRAMS}/nop"
    since = cursor()
    with watching("test-here.service", "exec"):
        run_service("test-elsewhere.service", "/bin/sh", "-ec", script, Delegate="yes")
        assert records("test-here.service", "exec", since=since) == []
        run_service("test-here.service", PROGRAMS / "nop")
        assert len(records("test-here.service", "exec", since=since)) == 1


@pytest.mark.parametrize("target", ["scope", "slice"])
def test_a_container(target):
    """As podman makes them: a scope in machine.slice, and a group below it for the container's processes."""
    scope = f"libpod-{'0123456789abcdef' * 4}.scope"
    directory = make_directory("container")
    (directory / "file").touch()
    account = directory / "account"
    group = f"{HIERARCHY}/machine.slice/{scope}"
    script = (
        f"mkdir {group}/container; echo 0 >{group}/container/cgroup.procs; exec {PROGRAMS}/flood 5 {directory}/file >{account}"
    )
    since = cursor()
    with watching(scope if target == "scope" else "machine.slice", "open", "exec"):
        run(
            "systemd-run", "--quiet", "--scope", "--collect", "--slice=machine.slice", f"--unit={scope}", "--property=Delegate=yes",
            "/bin/sh", "-ec", script,
        )  # fmt: skip
        found = records(scope, since=since)
    place = f"/machine.slice/{scope}".encode()
    assert [r.cgroup for r in opened(found, directory / "file")] == [place + b"/container"] * 5
    first, *_ = [r for r in found if r.event == b"exec"]
    assert (first.path, first.cgroup) == (os.fsencode(os.path.realpath("/bin/sh")), place)
    assert [r.cgroup for r in found if r.event == b"exec" and r.comm == b"flood"] == [place + b"/container"]
    assert {r.slice for r in found} == {b"machine.slice"}
    assert len(read_account(account)) == 1
    run("systemctl", "stop", "machine.slice")


@pytest.fixture
def user():
    """A user who has a service of his own, and does not run yet."""
    # Where the user may look, too.
    directory = make_directory("user")
    program = shutil.copy(PROGRAMS / "flood", directory)
    account = directory / "account"
    account.touch()
    os.chown(account, USER, USER)
    service = Path("/etc/systemd/user/tl-user.service")
    service.write_text(
        f"[Service]\nType=oneshot\nExecStart={program} 4 /etc/hostname\nStandardOutput=append:{account}\n"
    )
    wanted = Path("/etc/systemd/user/default.target.wants/tl-user.service")
    wanted.parent.mkdir(exist_ok=True)
    wanted.symlink_to(service)
    yield account
    wanted.unlink()
    service.unlink()


def test_the_manager_of_a_user_and_what_it_starts(user):
    """From the first instruction of the manager on; its units are groups below it."""
    unit = f"user@{USER}.service"
    place = f"/user.slice/user-{USER}.slice/{unit}"
    since = cursor()
    with watching(unit, "open", "exec"):
        run("systemctl", "start", unit)
        try:
            invocation = show(unit, "InvocationID").encode()
            wait_for(lambda: user.read_text(), "the user's own service has run")
            found = records(unit, since=since)
        finally:
            run("systemctl", "stop", unit)
    first = found[0]
    assert (first.event, first.path.rpartition(b"/")[2]) == (b"exec", b"systemd")
    # Since systemd 254 it begins in the group for its own process.
    assert first.cgroup.decode() in (place, f"{place}/init.scope")
    assert first.uid == str(USER).encode()
    started = [r for r in opened(found, "/etc/hostname") if r.comm == b"flood"]
    assert len(started) == 4
    (executed,) = [r for r in found if r.event == b"exec" and r.comm == b"flood"]
    assert {r.cgroup for r in [executed, *started]} == {f"{place}/app.slice/tl-user.service".encode()}
    assert {r.invocation_id for r in found} == {invocation}


def test_a_process_that_moves_belongs_to_where_it_is():
    """In and out of the watched group, and between groups below it, with an open at each place."""
    outside, inside = "test-outside.service", "test-inside.service"
    directory = make_directory("moves")
    with standing(outside) as out, watching(inside, "open"), standing(inside) as home:
        (home / "a").mkdir()
        places = [home, out, home / "a", out, home, home / "a", home] * 20
        script = "".join(
            f"echo 0 >{place}/cgroup.procs\n: <{directory}/{n}\n" for n, place in enumerate(places)
        )
        for n in range(len(places)):
            (directory / str(n)).touch()
        since = cursor()
        # The shell is in the group of who runs the tests at first.
        run("/bin/sh", "-ec", script)
        found = [r for r in records(inside, since=since) if r.path.startswith(os.fsencode(directory))]
    expected = [
        (os.fsencode(directory / str(n)), f"/{place.relative_to(HIERARCHY)}".encode())
        for n, place in enumerate(places)
        if place != out
    ]
    assert [(r.path, r.cgroup) for r in found] == expected


def test_a_child_cloned_into_the_watched_group():
    """What the child does belongs to the group that it is cloned into, from its first instruction; the fork does not."""
    parent, target = "test-cloner.service", "test-cloned.service"
    events = ("open", "exec", "fork", "exit")
    with watching(target, *events) as watch, standing(target) as group:
        (group / "child").mkdir()
        # What the sleeping one did to begin.
        before = watch_properties(watch)["Seen"]
        for place in [group, group / "child"] * 5:
            since = cursor()
            account = run_service(parent, PROGRAMS / "cloner", place, "/etc/hostname", PROGRAMS / "nop")
            (child,) = [line["pid"] for line in account if line["name"] == "child"]
            found = records(target, since=since)
            assert [(r.event, int(r.pid)) for r in found] == [(e, child) for e in (b"open", b"exec", b"exit")]
            assert {r.cgroup for r in found} == {f"/{place.relative_to(HIERARCHY)}".encode()}
            assert found[0].path == b"/etc/hostname"
            assert found[1].path == os.fsencode(PROGRAMS / "nop")
            assert {r.invocation_id for r in found} == {show(target, "InvocationID").encode()}
        assert watch_properties(watch)["Seen"] == before + 3 * 10


def test_a_child_cloned_out_of_the_watched_group():
    """Of it, the fork alone is the unit's."""
    parent, target = "test-cloner.service", "test-other.service"
    with standing(target) as group, watching(parent, "open", "exec", "fork", "exit") as watch:
        since = cursor()
        account = run_service(parent, PROGRAMS / "cloner", group, "/etc/hostname", PROGRAMS / "nop")
        lines = {line["name"]: line for line in account}
        found = records(parent, since=since)
        assert watch_properties(watch)["Seen"] == len(found)
    assert [r.event for r in found] == [b"exec", b"open", b"fork", b"exit"]
    assert {int(r.pid) for r in found} == {lines["parent"]["pid"]}
    assert {r.cgroup for r in found} == {f"/system.slice/{parent}".encode()}
    executed, opened_group, forked, _ = found
    assert opened_group.path == os.fsencode(group)
    assert int(forked.child_pid) == lines["parent"]["result"] == lines["child"]["pid"]
    assert forked.target_unit == target.encode()


# What the kernel side knows


def living_groups():
    """Number and path of each control group that there is."""
    return {os.stat(d).st_ino: f"/{Path(d).relative_to(HIERARCHY)}" for d, _, _ in os.walk(HIERARCHY)}


def known_groups():
    """Paths of the groups in the kernel's map; a number that no group has is there as it is."""
    living = living_groups()
    return sorted(str(living.get(key, key)) for key in map_keys("groups"))


def test_groups_that_come_and_go_leave_nothing():
    unit = "test-churn.service"
    with watching(unit, "open") as watch, standing(unit) as group:
        place = f"/{group.relative_to(HIERARCHY)}"
        assert known_groups() == watch_properties(watch)["ControlGroups"] == [place]
        # A few are there at a time, some below others.
        for n in range(0, GROUPS, 4):
            made = [group / f"g{n}", group / f"g{n}/below", group / f"g{n}/below/below", group / f"h{n}"]
            for path in made:
                path.mkdir()
            for path in sorted(made, reverse=True):
                path.rmdir()
        # A group is gone from the kernel a little after its directory is.
        wait_for(lambda: known_groups() == [place], "the kernel has let go of all groups")
        wait_for(lambda: watch_properties(watch)["ControlGroups"] == [place], "so has the daemon")
        assert watch_properties(watch)["Lost"] == 0
        check_new_group(watch, unit, group, f"{place}/again")


def check_new_group(watch, unit, group, place):
    """A group that is made now is covered, and called by its name."""
    (HIERARCHY / place.lstrip("/")).mkdir()
    assert watch_properties(watch)["ControlGroups"] == [f"/{group.relative_to(HIERARCHY)}", place]
    since = cursor()
    run("/bin/sh", "-ec", f"echo 0 >{HIERARCHY}{place}/cgroup.procs; exec {PROGRAMS}/flood 6 /etc/hostname")
    found = opened(records(unit, since=since), "/etc/hostname")
    assert [r.cgroup for r in found] == [place.encode()] * 6


def test_groups_whose_memory_is_still_in_use_leave_nothing():
    """The kernel keeps a group that is removed for as long as there are pages in the cache that it has read."""
    unit, times = "test-memory.service", 50
    directory = make_directory("memory")
    with watching(unit, "open") as watch, standing(unit) as group:
        place = f"/{group.relative_to(HIERARCHY)}"
        (group / "own").mkdir()
        (group / "own/cgroup.procs").write_text(show(unit, "MainPID"))
        (group / "cgroup.subtree_control").write_text("+memory")
        for n in range(times):
            path = group / f"g{n}"
            path.mkdir()
            # The pages of the file are the group's.
            run("/bin/sh", "-ec", f"echo 0 >{path}/cgroup.procs; exec head -c 100000 /dev/zero >{directory}/{n}")
            path.rmdir()
        wait_for(lambda: known_groups() == [place, f"{place}/own"], "the kernel side has let go of all groups")
        wait_for(lambda: watch_properties(watch)["ControlGroups"] == [place, f"{place}/own"], "so has the daemon")
        assert len(opened(records(unit), directory)) == 0
        assert [r.cgroup for r in records(unit) if r.path == os.fsencode(directory / "0")] == [f"{place}/g0".encode()]
