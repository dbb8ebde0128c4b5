"""The other backend: trampolines where the kernel has them, kprobes where it has not."""

import platform
import re
from collections import Counter
from pathlib import Path

import pytest
from harness import (
    PROGRAMS, TRACEFS, blocking, cursor, definitions, make_directory, messages, properties, records, run_service, settings,
    watch_properties, watching,
)  # fmt: skip
from load import kill

pytestmark = pytest.mark.default_backend

PREEMPTION = Path("/sys/kernel/debug/sched/preempt")
RELEASE = tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups()))
# Linux 5.17 has what the programs call.
HAS_TRAMPOLINES = RELEASE >= (5, 17)
# It preempts tasks in the kernel, and may not start a program of a trampoline a second time on a processor then.
MAY_MISS = not re.search(r"\((none|voluntary)\)", PREEMPTION.read_text()) if PREEMPTION.exists() else False
UNIT = "test-trampolines.service"
BLOCKED = 64
CALLS = 100
N = 500


def backend(name):
    return settings(f'probe-backend = "{name}"\n')


def probes():
    """By function, what kinds of probes are on it."""
    found = {}
    for function, kind, _hits, _misses in properties()["Probes"]:
        found.setdefault(function, set()).add(kind)
    return found


def with_trampolines():
    """The functions of which the kernel says that they call a trampoline."""
    lines = (TRACEFS / "enabled_functions").read_text().splitlines()
    return {line.split()[0] for line in lines if re.match(r"\S+ \(\d+\).* D\b", line)}


@pytest.mark.parametrize("name", ["fentry", "auto"])
def test_functions_have_trampolines_where_the_kernel_can(name):
    since = cursor()
    with backend(name):
        with watching(UNIT, "open", "exec"):
            attached = probes()
            by_trampoline = {f for f, kinds_of in attached.items() if kinds_of & {"fentry", "fexit"}}
            if HAS_TRAMPOLINES and not (name == "auto" and MAY_MISS):
                assert attached["fd_install"] == {"fentry"}
                assert attached["do_sys_openat2"] == {"fexit"}
                # It has more arguments than the kernel passes on.
                assert {f for f, kinds_of in attached.items() if kinds_of & {"kprobe", "kretprobe"}} <= {"kernfs_vfs_xattr_set"}
            else:
                assert by_trampoline == set()
            assert by_trampoline <= with_trampolines()
            defined = {line.split()[1] for line in definitions()}
            assert defined == set(attached) - by_trampoline
        assert not by_trampoline & with_trampolines()
        assert definitions() == []
        assert ("for which this kernel is too old" in messages(since)) == (name == "fentry" and not HAS_TRAMPOLINES)
        assert ("this kernel preempts tasks" in messages(since)) == (name == "fentry" and MAY_MISS)


def check_opens():
    """Each of N opens is there once. A program that the kernel did not start, for whomever, is counted as lost."""
    (told,) = run_service(UNIT, PROGRAMS / "flood", N, "/dev/null")
    assert told["opened"] == N
    own = told["invocation"].encode()
    found = [r for r in records(UNIT, "open") if r.path == b"/dev/null" and r.invocation_id == own]
    missed = properties()["LostByCause"]["probe"]
    assert MAY_MISS or missed == 0
    assert N - missed <= len(found) <= N


if HAS_TRAMPOLINES:

    def test_each_event_is_there_once():
        with backend("fentry"), watching(UNIT, "open") as watch:
            check_opens()
            seen, recorded, *others = watch_properties(watch)["EventCounts"]["open"]
            assert seen == recorded == len(records(UNIT, "open")) and others == [0, 0]

    def test_the_next_daemon_goes_on():
        with backend("fentry"):
            with watching(UNIT, "open"):
                before = probes()
                kill()
                assert probes() == before
                check_opens()
            assert not set(before) & with_trampolines()

    def test_no_return_is_missed():
        """However many calls of others block."""
        with backend("fentry"), watching(UNIT, "read"), blocking("read", BLOCKED, {0}):
            account = run_service(UNIT, PROGRAMS / "caller", "read", CALLS, make_directory("caller"))
            found = [r for r in records(UNIT, "read") if r.invocation_id == account[0]["invocation"].encode()]
            missed = sum(misses for function, _, _, misses in properties()["Probes"] if function == "ksys_read")
            assert properties()["ResultsMissed"] <= missed
        told = Counter((line["mark"], line["result"]) for line in account)
        seen = Counter((int(r.requested), int(r.result)) for r in found if not r.result_missed)
        assert told.total() == 2 * CALLS
        assert MAY_MISS or missed == 0
        assert not seen - told and (told - seen).total() <= missed
