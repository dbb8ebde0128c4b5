"""Policies: what is in force, and that a mistake changes nothing."""

import re

import pytest
from harness import (
    ERROR, POLICIES, SCRATCH, SERVICE, call, cursor, definitions, error_name, messages, policy, restart_daemon, run,
    wait_for, watches, write_policy,
)  # fmt: skip

pytestmark = pytest.mark.daemon

MISTAKES = {
    "unknown-key": ('units = ["a.service"]\nevents = ["open"]\ncolour = "red"\n', 3, "colour"),
    "syntax": ('units = ["a.service"\nevents = ["open"]\n', 2, ""),
    "unknown-event": ('units = ["a.service"]\nevents = ["open", "opne"]\n', 2, "opne"),
    "impossible-unit": ('units = ["a.service", "b.timer"]\nevents = ["open"]\n', 1, "b.timer"),
    "no-suffix": ('units = [\n  "nginx",\n]\nevents = ["open"]\n', 2, "nginx.service"),
    "wrong-type": ('units = "a.service"\nevents = ["open"]\n', 1, "units"),
}


@pytest.fixture
def files():
    """Removes what a test put among the policies."""
    yield
    for path in POLICIES.glob("test-*.toml"):
        path.unlink()
    call("Reload")


def check(*paths):
    return run("/usr/bin/env", "PATH=/usr/sbin:/usr/bin", "traceleftd", "--check", *paths, check=False)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_names_file_line_and_column(mistake):
    text, line, word = MISTAKES[mistake]
    path = SCRATCH / f"{mistake}.toml"
    path.write_text(text)
    done = check(path)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.search(rf"{path}:{line}:\d+: .*{re.escape(word)}", told), told


def test_check_accepts_what_is_right():
    path = SCRATCH / "right.toml"
    path.write_text('description = "x"\nunits = ["a@.service", "b.slice"]\nevents = ["@file", "exec"]\nunit-log = true\n')
    for done in (check(path), check()):
        assert done.returncode == 0, done.stderr


def test_check_without_files_reads_all_that_is_configured(files):
    (POLICIES / "test-bad.toml").write_text(MISTAKES["unknown-event"][0])
    done = check()
    assert done.returncode == 1
    assert f"{POLICIES}/test-bad.toml:2:" in done.stdout + done.stderr


def test_a_policy_is_a_watch_for_each_unit():
    with policy("test-both", ["one.service", "two.slice", "three@.service"], ["@process"]):
        assert watches() == {
            (unit, "test-both"): ["exec", "exit", "fork"] for unit in ("one.service", "two.slice", "three@.service")
        }
    assert watches() == {}
    assert definitions() == []


def test_a_reload_with_a_mistake_changes_nothing(files):
    write_policy("test-good", ["good.service"], ["exec"])
    call("Reload")
    before, probes = watches(), definitions()
    assert before == {("good.service", "test-good"): ["exec"]}

    bad = POLICIES / "test-bad.toml"
    bad.write_text(MISTAKES["unknown-key"][0])
    write_policy("test-good", ["good.service", "more.service"], ["exec", "open"])
    since = cursor()
    assert error_name("Reload") == ERROR + "InvalidPolicy"
    assert (watches(), definitions()) == (before, probes)

    # By SIGHUP, as the unit does it, nobody gets an error: the journal has it.
    since = cursor()
    run("systemctl", "reload", SERVICE, check=False)
    wait_for(lambda: f"{bad}:3:1" in messages(since), "the mistake in the daemon's messages")
    assert (watches(), definitions()) == (before, probes)

    bad.unlink()
    run("systemctl", "reload", SERVICE)
    wait_for(lambda: len(watches()) == 2, "the reload after the mistake was mended")
    assert watches() == {(unit, "test-good"): ["exec", "open"] for unit in ("good.service", "more.service")}


def test_a_reload_keeps_the_watches_that_stay(files):
    write_policy("test-a", ["stays.service"], ["exec"])
    call("Reload")
    with policy("test-b", ["goes.service"], ["exec"]):
        assert len(watches()) == 2
    assert watches() == {("stays.service", "test-a"): ["exec"]}


def test_a_start_with_a_bad_file_uses_the_others_and_says_so(files):
    write_policy("test-good", ["good.service"], ["exec"])
    bad = POLICIES / "test-bad.toml"
    bad.write_text(MISTAKES["syntax"][0])
    since = cursor()
    restart_daemon()
    assert watches() == {("good.service", "test-good"): ["exec"]}
    assert f"{bad}:2:" in messages(since)
    bad.unlink()


def test_an_earlier_directory_replaces_and_null_masks(files):
    runtime = POLICIES.parent.parent.parent / "run/traceleft/policy.d"
    runtime.mkdir(parents=True, exist_ok=True)
    try:
        (runtime / "test-a.toml").write_text('units = ["weak.service"]\nevents = ["exec"]\n')
        (runtime / "test-b.toml").write_text('units = ["masked.service"]\nevents = ["exec"]\n')
        (POLICIES / "test-b.toml").symlink_to("/dev/null")
        call("Reload")
        assert watches() == {("weak.service", "test-a"): ["exec"]}
        write_policy("test-a", ["strong.service"], ["open"])
        call("Reload")
        assert watches() == {("strong.service", "test-a"): ["open"]}
    finally:
        run("rm", "-r", runtime.parent)
