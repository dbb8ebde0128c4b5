"""Machines that lack something: a message that names it, exit status 77, and nothing half done."""

import subprocess
from pathlib import Path

import pytest
from harness import SERVICE, SETTINGS, cursor, definitions, messages, run, show, wait_for

pytestmark = pytest.mark.daemon

EMPTY = "/var/tmp/traceleft-tests/empty"
UNSUITABLE = 77
BAD_SETTINGS = 78

HIDE_TRACING = "mount -t tmpfs none /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/debug"
LACKS = {
    "no kprobes": (HIDE_TRACING, ["kprobe_events", "tracefs"]),
    "no BTF": (f"mount --bind {EMPTY} /sys/kernel/btf", ["BTF", "/sys/kernel/btf"]),
    "no control groups": ("mount -t tmpfs none /sys/fs/cgroup", ["control group", "/sys/fs/cgroup"]),
    "no systemd": ("mount -t tmpfs none /run/systemd", ["systemd"]),
    "no bus": ("mount -t tmpfs none /run/dbus", ["bus"]),
}


@pytest.fixture(scope="module")
def stopped(package):
    """The service is stopped, so that the daemon can be run by hand."""
    Path(EMPTY).mkdir(exist_ok=True)
    run("systemctl", "stop", SERVICE)
    yield package.copy
    run("systemctl", "start", SERVICE)


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """In place of the one for all tests: here the service is stopped."""
    yield
    if not request.node.get_closest_marker("lockdown"):
        assert definitions() == []


def run_by_hand(binary, *before, prepare="true"):
    """Runs the daemon where `prepare` was done in a mount namespace of its own."""
    command = ["unshare", "--mount", "sh", "-ec", f'{prepare}; exec "$@"', "sh", *before, binary]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("lack", LACKS)
def test_what_lacks_is_named(stopped, lack):
    prepare, words = LACKS[lack]
    done = run_by_hand(stopped, prepare=prepare)
    assert done.returncode == UNSUITABLE, done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr


def test_not_root(stopped):
    done = run_by_hand(stopped, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert done.returncode == UNSUITABLE
    assert "root" in done.stderr


def test_without_the_privileges_of_root(stopped):
    done = run_by_hand(stopped, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert done.returncode == UNSUITABLE, done.stderr
    assert done.stderr.strip()


def test_settings_that_are_not_valid(stopped):
    text = SETTINGS.read_text()
    try:
        SETTINGS.write_text("maxactive = 0\n")
        since = cursor()
        assert run("systemctl", "start", SERVICE, check=False).returncode != 0
        assert show(SERVICE, "ExecMainStatus") == str(BAD_SETTINGS)
        wait_for(lambda: f"{SETTINGS}:1:13: maxactive" in messages(since), "the mistake in the daemon's messages")
        # Nothing gets better by trying again.
        assert show(SERVICE, "NRestarts") == "0"
        assert show(SERVICE, "ActiveState") == "failed"
    finally:
        SETTINGS.write_text(text)
        run("systemctl", "reset-failed", SERVICE)


@pytest.mark.lockdown
def test_a_locked_down_kernel(package):
    """As with Secure Boot at its strictest: there are kprobes, and they may not be used."""
    run("systemctl", "stop", SERVICE, check=False)
    Path("/sys/kernel/security/lockdown").write_text("confidentiality")
    done = run_by_hand(package.copy)
    assert done.returncode == UNSUITABLE, done.stderr
    assert "lockdown" in done.stderr.lower(), done.stderr
