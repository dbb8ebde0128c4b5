"""The package: what it installs, what it keeps, what it leaves."""

import gzip
import os
from pathlib import Path

import pytest
from conftest import list_files
from harness import (
    SERVICE, SETTINGS, call, definitions, output, policy, properties, run, show, wait_for, watches,
)  # fmt: skip

MANUALS = ["traceleftd.8", "traceleftd.toml.5", "traceleft.policy.5", "traceleft.events.7", "traceleft.fields.7", "org.traceleft1.5"]
MESSAGE_IDS = {
    "open": "e477b9fa49db4c28a8c117b7972542df",
    "exec": "120b3dd5026542c881c230789224f1c2",
    "tcp-connect": "85f33c583752481d8954d5960bcfe974",
    "lost": "664a10c6a7a146c6be49ba8d1c898c4c",
    "watch": "d33cfe1005b942fca90e2dd2bcbb0f3e",
}

first = pytest.mark.first
last = pytest.mark.last


@first
def test_the_service_is_active_and_says_how_many_watches_and_probes():
    assert show(SERVICE, "ActiveState") == "active"
    assert show(SERVICE, "UnitFileState") == "enabled"
    status = show(SERVICE, "StatusText")
    assert "0 watches" in status and "0 probes" in status, status
    with policy("status", ["some.service", "other.service"], ["open"]):
        wait_for(lambda: "2 watches" in show(SERVICE, "StatusText"), "2 watches in STATUS=")
        probes = len(properties()["Probes"])
        status = show(SERVICE, "StatusText")
        assert f"{probes} probes" in status and probes > 0, status
    wait_for(lambda: "0 watches" in show(SERVICE, "StatusText"), "0 watches in STATUS=")


@first
def test_the_bus_says_the_version_of_the_package():
    version = output("dpkg-query", "-W", "-f", "${Version}", "traceleft")
    assert version.split("-")[0] == properties()["Version"]


@first
def test_manual_pages_and_configuration_are_there():
    files = output("dpkg", "-L", "traceleft").splitlines()
    for name in MANUALS:
        page = Path(f"/usr/share/man/man{name[-1]}/{name}.gz")
        # A minimal system leaves manual pages out when it unpacks; then the package has them still.
        assert str(page) in files
        if page.exists():
            assert gzip.open(page).read().startswith((b".TH", b"'\\\" t"))
    conffiles = output("dpkg-query", "-W", "-f", "${Conffiles}", "traceleft")
    assert str(SETTINGS) in conffiles
    assert any(f.endswith("nginx.toml.example") for f in files)
    assert not [f for f in files if f.startswith("/etc/traceleft/policy.d/") and f.endswith(".toml")]


@first
@pytest.mark.parametrize("event", MESSAGE_IDS)
def test_the_catalog_explains_each_kind_of_record(event):
    text = output("journalctl", "--dump-catalog", MESSAGE_IDS[event])
    assert "Subject:" in text and len(text.splitlines()) > 3, text


@first
def test_an_upgrade_keeps_edits_and_goes_on(package):
    text = SETTINGS.read_text()
    try:
        SETTINGS.write_text(text + "# an edit\n")
        with policy("upgrade", ["some.service"], ["exec"]):
            before = show(SERVICE, "MainPID")
            run(
                "apt-get", "install", "-y", "-q", "--reinstall", package.deb,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )  # fmt: skip
            assert SETTINGS.read_text() == text + "# an edit\n"
            assert show(SERVICE, "ActiveState") == "active"
            assert show(SERVICE, "MainPID") != before
            assert watches() == {("some.service", "upgrade"): ["exec"]}
            assert properties()["Probes"]
    finally:
        SETTINGS.write_text(text)


@last
def test_nothing_stays_after_remove_and_purge(package):
    run("systemctl", "kill", "-s", "KILL", SERVICE)
    wait_for(lambda: show(SERVICE, "ActiveState") == "active", "the daemon is started again after SIGKILL")
    call("AddWatch", "sas", "some.service", "1", "open")
    assert properties()["Probes"]

    edited = SETTINGS.read_text() + "# an edit\n"
    SETTINGS.write_text(edited)
    run("apt-get", "remove", "-y", "-q", "traceleft")
    assert definitions() == []
    assert not package.binary.exists()
    assert run("busctl", "status", "org.traceleft1", check=False).returncode != 0
    assert run("systemctl", "cat", SERVICE, check=False).returncode != 0
    assert SETTINGS.read_text() == edited

    run("apt-get", "purge", "-y", "-q", "traceleft")
    assert list_files() - package.files_before == set()
    assert MESSAGE_IDS["open"] not in output("journalctl", "--list-catalog")
