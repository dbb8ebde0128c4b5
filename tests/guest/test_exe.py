"""What is kept of a task for its next record: the path of its executable is the present one, and nothing outlives it."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from harness import PROGRAMS, make_directory, map_keys, records, run, run_service, show, wait_for, watching

# Opens a file of its own after each change, and tells what /proc says of its executable then. What it needs of the
# standard library, it has before its executable is moved away.
SCRIPT = """
import json, os, pathlib, sys

top = sys.argv[1]

def step(name, exe=None):
    exe = os.readlink("/proc/self/exe").removesuffix(" (deleted)") if exe is None else exe
    for _ in range(2):
        os.close(os.open(f"{top}/step-{name}", os.O_RDONLY))
        print(json.dumps({"step": name, "exe": os.fsencode(exe).hex()}), flush=True)

for name in ("begin", "renamed", "directory", "back", "bound", "linked", "unlinked", "again", "inside"):
    pathlib.Path(f"{top}/step-{name}").touch()
step("begin")
os.rename(f"{top}/a/runner", f"{top}/a/another")
step("renamed")
os.rename(f"{top}/a", f"{top}/b")
step("directory")
os.rename(f"{top}/b", f"{top}/a")
os.rename(f"{top}/a/another", f"{top}/a/runner")
step("back")
os.system(f"mount --bind {top}/a {top}/c")
step("bound")
os.link(f"{top}/a/runner", f"{top}/a/second")
os.unlink(f"{top}/a/runner")
step("linked")
os.unlink(f"{top}/a/second")
step("unlinked")
os.system(f"umount {top}/c")
# Of the same name and at the same place, but not what is running.
open(f"{top}/a/runner", "w").close()
step("again")
before = os.readlink("/proc/self/exe").removesuffix(" (deleted)")
os.chroot(top)
top = ""
step("inside", before.removeprefix(sys.argv[1]))
"""

AGAIN = """
import os, shutil, sys

script, top, n, python = sys.argv
os.close(os.open(f"{top}/step", os.O_RDONLY))
if int(n) < 20:
    shutil.rmtree(f"{top}/{n}")
    above = f"{top}/{int(n) + 1}"
    os.mkdir(above)
    shutil.copy(python, f"{above}/runner")
    os.execv(f"{above}/runner", ["runner", "-S", script, top, str(int(n) + 1), python])
"""


def test_it_is_renamed_and_removed():
    unit, top = "test-exe.service", make_directory("exe")
    for name in ("a", "c"):
        (top / name).mkdir()
    runner = top / "a/runner"
    shutil.copy(Path(sys.executable).resolve(), runner)
    with watching(unit, "open"):
        account = run_service(unit, runner, "-S", "-c", SCRIPT, top)
        found = [r for r in records(unit) if b"/step-" in (r.path or b"") and r.flags == b"O_RDONLY|O_CLOEXEC"]
    told = [(line["step"], bytes.fromhex(line["exe"])) for line in account]
    assert [(os.fsdecode(r.path).partition("step-")[2], r.exe) for r in found] == told
    assert len(told) == 18
    assert len({exe for _, exe in told}) >= 4


@pytest.mark.any_backend
def test_it_is_executed_anew():
    """One process runs one program after another, of the same name in directories that come and go."""
    unit, top = "test-exe-anew.service", make_directory("exe-anew")
    script, python = top / "script", Path(sys.executable).resolve()
    script.write_text(AGAIN)
    (top / "step").touch()
    (top / "0").mkdir()
    shutil.copy(python, top / "0/runner")
    with watching(unit, "open"):
        run_service(unit, top / "0/runner", "-S", script, top, 0, python)
        found = [r for r in records(unit) if r.path == os.fsencode(top / "step")]
    assert [r.exe for r in found] == [os.fsencode(top / f"{n}/runner") for n in range(21)]


def test_nothing_is_kept_of_tasks_that_have_ended():
    """Neither where they end under a watch, nor where nobody looks when they do."""
    unit, directory = "test-kept.service", make_directory("kept")
    with watching(unit, "open", "write", "mkdir"):
        run_service(unit, PROGRAMS / "flood", 200, directory, 16)
        assert len(records(unit, "open")) == 200
        wait_for(lambda: map_keys("tasks") == map_keys("small_calls") == [], "the end of all threads")
        run("systemd-run", "--quiet", f"--unit={unit}", PROGRAMS / "blocker", "open", 20, directory)
        wait_for(lambda: len(map_keys("tasks")) >= 20, "they are all in the call")
    run("systemctl", "kill", "-s", "KILL", unit)
    wait_for(lambda: show(unit, "ActiveState") in ("failed", "inactive"), "the end of the blocker")
    with watching(unit, "open"):
        assert map_keys("tasks") == []
