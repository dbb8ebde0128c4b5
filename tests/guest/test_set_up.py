"""What systemd does in a unit's control group before the unit's program runs: left out, or marked, as a policy says."""

import os
import shutil
from pathlib import Path

import pytest
from harness import PROGRAMS, SCRATCH, output, policy, records, run_service

pytestmark = pytest.mark.any_backend

NOP = os.fsencode(PROGRAMS / "nop")
EVENTS = ["open", "exec", "exit", "fork", "mount"]
PAM = Path("/etc/pam.d/traceleft-test")
# What makes systemd mount, open and fork, and PAM execute a program.
HARDENING = {"PrivateTmp": "yes", "ProtectSystem": "strict", "ProtectControlGroups": "yes"}
SETTINGS = {
    "pam": {**HARDENING, "PAMName": PAM.name, "User": "root"},
    # The unit's program is executed by a grandchild of process 1.
    "namespace": {**HARDENING, "PrivatePIDs": "yes"},
}
OWN = [(b"exec", NOP), (b"exit", None)]


def version():
    return int(output("systemctl", "--version").split()[1])


@pytest.fixture(autouse=True)
def pam():
    """Without pam_systemd, which would move the process out of its unit."""
    PAM.write_text("account required pam_unix.so\nsession required pam_unix.so\n")
    yield
    PAM.unlink()


@pytest.fixture(params=["pam", "namespace"] if version() >= 257 else ["pam"])
def settings(request):
    return request.param, SETTINGS[request.param]


def told(found):
    return [(r.event, r.path) for r in found]


def test_it_is_left_out(settings):
    name, properties = settings
    unit = f"test-set-up-{name}.service"
    with policy("test-set-up", [unit], EVENTS):
        run_service(unit, PROGRAMS / "nop", **properties)
        assert told(records(unit)) == OWN


def test_it_is_marked_where_a_policy_asks_for_it(settings):
    name, properties = settings
    unit = f"test-set-up-marked-{name}.service"
    with policy("test-set-up-marked", [unit], EVENTS, "setup = true\n"), policy("test-set-up", [unit], EVENTS):
        run_service(unit, PROGRAMS / "nop", **properties)
        found = records(unit)
    own = [r for r in found if r.setup is None]
    marked = [r for r in found if r.setup == b"1"]
    assert told(own) == OWN and len(own) + len(marked) == len(found)
    assert {r.event for r in marked} >= {b"open", b"fork", b"mount"}
    # Only the policy that asks for it has it.
    assert {r.policy for r in marked} == {b"test-set-up-marked"}
    (main,) = {r.pid for r in own}
    # Since systemd 254 a program of its own sets the unit up.
    executed = [r.path.rsplit(b"/")[-1] for r in marked if r.event == b"exec" and r.pid == main]
    assert executed == ([b"systemd-executor"] if version() >= 254 and name == "pam" else [])


def test_nobody_hides_behind_the_name():
    unit = "test-set-up-name.service"
    program = SCRATCH / "systemd-executor"
    shutil.copy(PROGRAMS / "flood", program)
    with policy("test-set-up", [unit], ["exec", "open"]):
        run_service(unit, program, 2, "/etc/hostname", 1)
        expected = [(b"exec", os.fsencode(program))] + 2 * [(b"open", b"/etc/hostname")]
        assert told(records(unit)) == expected
