"""Installs the package once, as a user would, and brings the tests into an order."""

import os
import re
import shutil
from pathlib import Path

import harness
import load as loads
import pytest

# What takes the package, or the machine, apart comes last.
ORDER = ["first", None, "last", "lockdown"]
# What changes on a system whatever is installed.
CHANGING = (
    "/dev", "/proc", "/root", "/run", "/sys", "/tmp", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/nginx",
    "/var/lib/systemd", "/var/log", "/var/tmp",
)  # fmt: skip


def pytest_configure(config):
    config.addinivalue_line("markers", "daemon: of the daemon alone, much the same on any kernel; not in the battery")
    config.addinivalue_line("markers", "default_backend: about kprobes, or sets the backend itself")
    config.addinivalue_line("markers", "any_backend: goes the same way with all; in the battery with the default one alone")
    config.addinivalue_line("markers", "first: needs the package as it was installed")
    config.addinivalue_line("markers", "last: takes the package away")
    config.addinivalue_line("markers", "lockdown: takes tracing away until the next boot")


def pytest_collection_modifyitems(items):
    def rank(item):
        ranks = [ORDER.index(mark.name) for mark in item.iter_markers() if mark.name in ORDER]
        return ranks[0] if ranks else ORDER.index(None)

    items.sort(key=rank)


def list_files():
    found = set()
    for directory, subdirectories, files in os.walk("/"):
        subdirectories[:] = [d for d in subdirectories if os.path.join(directory, d) not in CHANGING]
        found.update(os.path.join(directory, name) for name in files + subdirectories)
    return found


class Package:
    """The package that is tested."""

    def __init__(self, deb):
        self.deb = deb
        self.files_before = list_files()
        harness.run("apt-get", "install", "-y", "-q", deb, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        (binary,) = (f for f in harness.output("dpkg", "-L", "traceleft").splitlines() if f.endswith("/traceleftd"))
        self.binary = Path(binary)
        # To run by hand, also when the package is gone.
        self.copy = shutil.copy(binary, harness.SCRATCH / "traceleftd")


@pytest.fixture(scope="session", autouse=True)
def journal():
    """A journal that keeps all that the tests write."""
    conf = Path("/run/systemd/journald.conf.d/tests.conf")
    conf.parent.mkdir(exist_ok=True)
    conf.write_text("[Journal]\nSystemMaxUse=2G\nSystemKeepFree=64M\n")
    harness.run("systemctl", "restart", "systemd-journald.service")


@pytest.fixture(scope="session", autouse=True)
def package(journal):
    (deb,) = Path("/root").glob("traceleft_*.deb")
    harness.SCRATCH.mkdir(exist_ok=True)
    harness.SCRATCH.chmod(0o755)
    # Before the package: what it leaves is found by what is there more than before.
    harness.run("useradd", "--create-home", f"--uid={harness.USER}", "test-user")
    return Package(deb)


@pytest.fixture(scope="session", autouse=True)
def daemon(package):
    """The daemon, enabled and started. Nothing of all that it is put through is to disquiet the kernel."""
    if harness.OF_BACKEND:
        harness.SETTINGS.write_text(harness.SETTINGS.read_text() + harness.OF_BACKEND)
    harness.run("systemctl", "enable", "--now", harness.SERVICE)
    yield
    log = harness.output("journalctl", "-k", "-b", "-o", "cat").splitlines()
    # That a processor got no time for a while is the fault of who emulates it.
    trouble = [line for line in log if re.search(r"^(WARNING|BUG|KASAN):|Oops", line) and "lockup" not in line]
    assert trouble == []


@pytest.fixture
def load():
    """Units that work steadily, each watched."""
    load = loads.Load()
    yield load
    load.end()


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """No test leaves a watch, and none kills the daemon."""
    yield
    if request.node.get_closest_marker("last") or request.node.get_closest_marker("lockdown"):
        return
    assert harness.show(harness.SERVICE, "ActiveState") == "active"
    assert harness.watches() == {}
