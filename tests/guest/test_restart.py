"""Nothing is lost, and nothing recorded twice, whatever happens to the daemon while units work."""

import os
import re
import signal
from pathlib import Path

import pytest
from harness import (
    OF_BACKEND, POLICIES, PROGRAMS, SERVICE, SETTINGS, add_watch, cursor, definitions, entries, flush, make_directory, messages, policy,
    properties, records, run, run_service, settings, show, values, wait_for, watch_properties, watches, watching, write_policy,
)  # fmt: skip
from load import UNITS, drop_in, kill, main_pid, restart, wait_for_another

# How often the daemon is killed, and restarted.
TIMES = int(os.environ.get("TRACELEFT_RESTARTS", "5"))


@pytest.mark.parametrize("action", [kill, restart])
def test_the_daemon_is_killed_or_restarted(load, action):
    probes = set(definitions())
    for _ in range(TIMES):
        load.work_on()
        action()
    load.work_on()
    assert set(definitions()) == probes
    said = messages(since=load.since)
    assert said.count("Going on from where the daemon before left off.") == TIMES
    assert "cannot be taken over" not in said
    load.check()


@pytest.mark.parametrize("action", [kill, restart])
def test_the_next_daemon_is_woken(action):
    """By what happens after it had nothing to do: nobody asks for it, and it has no watchdog to feed."""
    unit = f"test-woken-{action.__name__}.service"
    with drop_in("WatchdogSec=0\n"), watching(unit, "exec"):
        action()
        seen = lambda: values("TRACELEFT_SEQ", f"TRACELEFT_UNIT={unit}", "TRACELEFT_EVENT=exec")  # noqa: E731
        for n in range(1, 4):
            # Flush is answered, and then there is nothing to do.
            flush()
            run("systemd-run", "--quiet", "--wait", "--collect", f"--unit={unit}", PROGRAMS / "nop")
            wait_for(lambda: len(seen()) == n, "the record comes by itself")  # noqa: B023


def test_systemd_executes_itself_anew(load):
    load.work_on()
    pid = main_pid()
    run("systemctl", "daemon-reexec")
    load.work_on()
    assert main_pid() == pid
    kill()
    load.work_on()
    load.check()


@pytest.mark.daemon
def test_policies_change(load):
    """Watches of policies come and go for the same units, so that these get other targets; the others stay."""
    for n in range(5):
        load.work_on()
        with policy("50-tick", [UNITS[0], "system.slice"], ["mkdir", "chmod"]):
            load.work_on()
        if n == 2:
            restart()
    load.check()


@pytest.mark.daemon
def test_the_package_is_upgraded(load, package):
    """To a version that differs in nothing but its number."""
    directory = make_directory("upgrade")
    run("dpkg-deb", "-R", package.deb, directory / "package")
    control = directory / "package/DEBIAN/control"
    version = re.search(r"^Version: (.*)$", control.read_text(), re.M)[1]
    load.work_on()
    for new in (f"{version}+1", version):
        control.write_text(re.sub(r"^Version: .*$", f"Version: {new}", control.read_text(), flags=re.M))
        deb = directory / "new.deb"
        run("dpkg-deb", "-b", directory / "package", deb)
        pid = main_pid()
        run(
            "apt-get", "install", "-y", "-q", "--allow-downgrades", deb, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )
        assert main_pid() != pid
        assert show(SERVICE, "ActiveState") == "active"
        load.work_on()
    load.check()


@pytest.mark.daemon
def test_watches_and_what_was_told_of_them_survive():
    since = cursor()
    with policy("50-survive", ["test-policy.service"], ["open"]):
        with watching("test-survive.service", "open") as watch:
            of_both = watches()
            number = properties()["Recorded"]
            kill()
            assert watches() == of_both
            assert watch_properties(watch)["Unit"] == "test-survive.service"
            assert properties()["Recorded"] >= number
            # A new one does not get an old one's number.
            with watching("test-other.service", "exec") as other:
                assert other != watch
        restart()
        assert watches() == {("test-policy.service", "50-survive"): ["open"]}
        # What changed while no daemon was there.
        (POLICIES / "50-survive.toml").unlink()
        write_policy("50-survive", ["test-changed.service"], ["exec"])
        kill()
        assert watches() == {("test-changed.service", "50-survive"): ["exec"]}
    added = [r.target for r in records(None, "watch-added", since=since)]
    removed = [r.target for r in records(None, "watch-removed", since=since)]
    assert sorted(added) == sorted(removed) == [b"test-other.service", b"test-survive.service"]


def check_dropped(since, of_before, why):
    """The daemon began anew, said why, and audits."""
    said = messages(since=since)
    assert re.search(f"cannot be taken over: {why}", said), said
    unit = "test-dropped.service"
    before = len(records(unit, "exec"))
    run("systemd-run", "--quiet", "--wait", "--collect", f"--unit={unit}", PROGRAMS / "nop")
    assert len(records(unit, "exec")) == before + 1
    numbers = [int(number) for number in values("TRACELEFT_SEQ")[of_before:]]
    assert len(set(numbers)) == len(numbers)


def test_an_incomplete_store_is_dropped():
    since, of_before = cursor(), len(values("TRACELEFT_SEQ"))
    with watching("test-dropped.service", "exec") as watch:
        run(
            "systemd-notify", f"--pid={main_pid()}", "FDSTOREREMOVE=1", "FDNAME=map.names",
            env={**os.environ, "NOTIFY_SOCKET": "/run/systemd/notify"},
        )  # fmt: skip
        kill()
        check_dropped(since, of_before, "map.names is missing in the store")
        assert watch_properties(watch)["Unit"] == "test-dropped.service"
    assert definitions() == []


@pytest.mark.daemon
def test_a_store_of_another_layout_is_dropped():
    since, of_before = cursor(), len(values("TRACELEFT_SEQ"))
    with watching("test-dropped.service", "exec"):
        with settings('ring-size = "4M"\n'):
            check_dropped(since, of_before, "it is another version, or had other settings")
        check_dropped(since, of_before, "it is another version, or had other settings")


@pytest.mark.daemon
def test_numbers_of_what_was_being_sent_are_not_given_again():
    """The daemon is killed where journald takes no more, and the next one drops the store."""
    unit, since = "test-dropped-sending.service", cursor()
    journald = int(show("systemd-journald.service", "MainPID"))
    with settings(""), watching(unit, "open") as watch:
        os.kill(journald, signal.SIGSTOP)
        try:
            run_service(unit, PROGRAMS / "flood", 2000, "/etc/hostname")
            wait_for(lambda: watch_properties(watch)["Recorded"], "some are in journald's socket")
            SETTINGS.write_text('ring-size = "4M"\n' + OF_BACKEND)
            daemon = main_pid()
            os.kill(int(daemon), signal.SIGKILL)
        finally:
            os.kill(journald, signal.SIGCONT)
        wait_for_another(daemon)
        run_service(unit, PROGRAMS / "flood", 100, "/etc/hostname")
        flush()
        found = [r.number("TRACELEFT_SEQ") for r in entries(f"TRACELEFT_UNIT={unit}", "TRACELEFT_EVENT=open", since=since)]
        assert len(set(found)) == len(found)
        assert found == sorted(found)
        assert 100 < len(found) < 2100
        assert "it is another version, or had other settings" in messages(since=since)


def bpf_maps():
    """How many maps are open in any process."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            found.update(re.findall(r"^map_id:\s*(\d+)", entry.read_text(), re.M))
        except OSError:
            pass
    return len(found)


def test_a_stop_leaves_nothing():
    run("systemctl", "stop", SERVICE)
    maps, runtime = bpf_maps(), set(os.listdir("/run"))
    run("systemctl", "start", SERVICE)
    add_watch("test-stop.service", "open", "exec", "tcp-connect", "tcp-close")
    assert bpf_maps() > maps
    assert properties()["Probes"]
    run("systemctl", "stop", SERVICE)
    assert definitions() == []
    wait_for(lambda: bpf_maps() == maps, "all maps are gone")
    assert show(SERVICE, "NFileDescriptorStore") == "0"
    assert not any(name.startswith("traceleft") for name in set(os.listdir("/run")) - runtime)
    run("systemctl", "start", SERVICE)
    # Auditing was ended: so was what was asked for at run time.
    assert watches() == {}
