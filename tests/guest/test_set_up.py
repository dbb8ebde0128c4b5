"""What systemd does in a unit's control group before the unit's program runs: left out, or marked, as a policy says."""

import os
import shutil

from harness import PROGRAMS, SCRATCH, output, policy, records, run_service

NOP = os.fsencode(PROGRAMS / "nop")
EVENTS = ["open", "exec", "exit", "fork", "mount"]
# What makes systemd mount, open and fork.
HARDENING = {"PrivateTmp": "yes", "ProtectSystem": "strict", "ProtectControlGroups": "yes", "PAMName": "other"}
OWN = [(b"exec", NOP), (b"exit", None)]


def has_executor():
    """Since systemd 254 a program of its own sets the unit up."""
    return int(output("systemctl", "--version").split()[1]) >= 254


def told(found):
    return [(r.event, r.path) for r in found]


def test_it_is_left_out():
    unit = "test-set-up.service"
    with policy("test-set-up", [unit], EVENTS):
        run_service(unit, PROGRAMS / "nop", **HARDENING)
        assert told(records(unit)) == OWN


def test_it_is_marked_where_a_policy_asks_for_it():
    unit = "test-set-up-marked.service"
    with policy("test-set-up-marked", [unit], EVENTS, "setup = true\n"), policy("test-set-up", [unit], EVENTS):
        run_service(unit, PROGRAMS / "nop", **HARDENING)
        found = records(unit)
    own = [r for r in found if r.setup is None]
    marked = [r for r in found if r.setup == b"1"]
    assert told(own) == OWN and len(own) + len(marked) == len(found)
    # Only the policy that asks for it has it.
    assert {r.policy for r in marked} == {b"test-set-up-marked"}


def test_nobody_hides_behind_the_name():
    unit = "test-set-up-name.service"
    program = SCRATCH / "systemd-executor"
    shutil.copy(PROGRAMS / "flood", program)
    with policy("test-set-up", [unit], ["exec", "open"]):
        run_service(unit, program, 2, "/etc/hostname", 1)
        expected = [(b"exec", os.fsencode(program))] + 2 * [(b"open", b"/etc/hostname")]
        assert told(records(unit)) == expected
