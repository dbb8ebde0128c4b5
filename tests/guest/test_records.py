"""Records as a reader of the journal finds them."""

import json
import os
import re

import names
import pytest
from harness import PROGRAMS, cursor, flush, make_directory, output, policy, records, run_service

pytestmark = pytest.mark.daemon

UNIT = "test-records.service"
NAME = b"a\nTRACELEFT_UNIT=evil.service\n\x01\xff\xc3("


@pytest.fixture(scope="module")
def directory():
    """Opens a file of a bad name, in a unit of a policy with unit-log."""
    directory = make_directory("records")
    path = os.path.join(os.fsencode(directory), NAME)
    open(path, "w").close()
    with policy("test-records", [UNIT], ["open", "exec"], extra="unit-log = true\n"):
        # systemd takes only UTF-8 on its bus, so the name comes from a script.
        script = directory / "script"
        script.write_bytes(b"exec %s 3 '%s'\n" % (os.fsencode(PROGRAMS / "flood"), path))
        run_service(UNIT, "/bin/sh", script)
        flush()
    return directory


def journalctl(*words):
    return output("journalctl", "-q", "--no-pager", *words)


def test_bytes_arrive_as_they_were(directory):
    path = os.path.join(os.fsencode(directory), NAME)
    assert [r.path for r in records(UNIT, "open") if r.comm == b"flood"] == [path] * 3
    (executed,) = [r for r in records(UNIT, "exec") if r.comm == b"flood"]
    assert names.split_arguments(executed.argv)[2] == path
    assert records("evil.service") == []


def test_matches_and_json(directory):
    lines = journalctl("-t", "traceleft", "-o", "json", f"TRACELEFT_UNIT={UNIT}", "TRACELEFT_EVENT=exec").splitlines()
    record, _ = map(json.loads, lines)
    assert record["SYSLOG_IDENTIFIER"] == "traceleft"
    assert record["TRACELEFT_POLICY"] == "test-records"
    assert record["TRACELEFT_PATH"] == os.path.realpath("/bin/sh")
    assert record["_SYSTEMD_UNIT"] == "traceleftd.service"
    assert record["_TRANSPORT"] == "journal"


def test_the_units_own_log_shows_them(directory):
    identifiers = [json.loads(line).get("SYSLOG_IDENTIFIER") for line in journalctl("-u", UNIT, "-o", "json").splitlines()]
    assert identifiers.count("traceleft") == len(records(UNIT)) >= 5
    assert "systemd" in identifiers


def test_without_unit_log_it_does_not():
    with policy("test-quiet", ["test-quiet.service"], ["exec"]):
        run_service("test-quiet.service", PROGRAMS / "nop")
        assert len(records("test-quiet.service", "exec")) == 1
    assert "traceleft" not in journalctl("-u", "test-quiet.service", "-o", "json", "--output-fields=SYSLOG_IDENTIFIER")


def test_the_message_is_one_line_to_read(directory):
    lines = journalctl("-t", "traceleft", "-o", "short", f"TRACELEFT_UNIT={UNIT}", "TRACELEFT_EVENT=open").splitlines()
    assert len(lines) >= 3
    for line in lines:
        assert line.isprintable()
        assert re.search(r" (sh|flood)\[\d+\]: open /\S+ O_RDONLY", line), line


def test_the_catalog_speaks_of_the_record(directory):
    text = journalctl("-t", "traceleft", "-x", f"TRACELEFT_UNIT={UNIT}", "TRACELEFT_EVENT=exec")
    assert f"A process of {UNIT} executed a program" in text
    assert "/bin/sh" in text


def test_a_unit_in_two_policies_is_recorded_once_and_names_both():
    unit = "test-twice.service"
    with policy("test-one", [unit], ["exec"]), policy("test-two", [unit], ["exec", "open"]):
        run_service(unit, PROGRAMS / "flood", 2, "/etc/hostname", 1)
        found = records(unit)
    assert [r.event for r in found] == [b"exec", b"open", b"open"]
    assert found[0].policy == [b"test-one", b"test-two"]
    assert found[1].policy == b"test-two"
