"""traceleftd --verify: the numbers of the records prove a stretch of the journal complete, or a hole is named.

No test leaves a hole in the journal: what is to be missing is kept from journalctl.
"""

import re
import time
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import (
    PROGRAMS, count_records, entries, flush, output, records, run, run_service, settings, wait_for, watch_properties, watching,
)  # fmt: skip

pytestmark = pytest.mark.any_backend

FLOOD = PROGRAMS / "flood"
NO_LOSS = "no event lost"


@pytest.fixture
def verify(package):
    return lambda *options: run(package.binary, "--verify", *options, check=False)


def now():
    """A time behind all that the journal has so far, and before all that is yet to come."""
    flush()
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return f"@{seconds}.{micros:06}"


def complete(done):
    """What is said of a stretch of this boot that is complete."""
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    found = re.fullmatch(r"boot (\w{32}): numbers (\d+) to (\d+): complete; (\d+) records, (.*)\.\n", done.stdout)
    assert found, done.stdout
    boot, first, last, count, lost = found.groups()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    return SimpleNamespace(first=int(first), last=int(last), records=int(count), lost=lost)


def numbers(found):
    return [r.number("TRACELEFT_SEQ") for r in found]


def utc(record):
    """When journald had it, as the report says it."""
    seconds, micros = divmod(record.number("__REALTIME_TIMESTAMP"), 1_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}.{micros:06} UTC"


def example(package):
    """The one that does the same with jq, as the manual page has it."""
    page = output(
        "bash", "-c",
        'dpkg-deb --fsys-tarfile "$0" | tar -xO --wildcards "*/traceleft.fields.7.gz" | gunzip',
        package.deb,
    )  # fmt: skip
    (found,) = re.findall(r"^\.EX\n# (journalctl -b (?:(?!\.EE).)*jq -sr .*?)^\.EE$", unescape(page), re.M | re.S)
    return found


def unescape(roff):
    return roff.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")


def test_a_stretch_is_complete(verify):
    unit = "test-verify.service"
    # What was before is in the journal.
    flush()
    since = now()
    with watching(unit, "open"):
        run_service(unit, FLOOD, 100, "/etc/hostname")
    said = complete(verify("--since", since, "--until", now()))
    # Between the record of the watch that was added, and that of its end.
    assert numbers(records(unit)) == list(range(said.first + 1, said.last))
    assert (said.records, said.lost) == (102, NO_LOSS)


def test_losses_that_were_told_are_no_holes(verify):
    unit, total = "test-verify-flood.service", 20000
    with settings('ring-size = "16K"\n'):
        since = now()
        with watching(unit, "open") as watch:
            run_service(unit, FLOOD, total, "/etc/hostname", 4)
            flush()
            values = watch_properties(watch)
        until = now()
    said = complete(verify("--since", since, "--until", until))
    lost = values["Lost"]
    assert lost > 1
    assert said.lost == f"{lost} events lost and told of (ring {lost})"
    assert said.records == values["Recorded"] + count_records(unit, "lost") + 2
    assert said.last - said.first + 1 == said.records + lost


def test_a_hole_is_named(verify, package):
    """What succeeded has another priority than what failed, and the watch itself: so it can be left out."""
    unit = "test-verify-hole.service"
    since = now()
    with watching(unit, "open"):
        for times, path in ((1, "/no/such/file"), (4, "/etc/hostname"), (1, "/no/such/file")):
            run_service(unit, FLOOD, times, path)
    stretch = [f"--since={since}", f"--until={now()}"]
    before, *hidden, after = records(unit)
    assert [r["PRIORITY"] for r in (before, *hidden, after)] == [b"5", *[b"6"] * 4, b"5"]
    first, last = numbers(hidden)[0], numbers(hidden)[-1]
    assert complete(verify(*stretch)).records == 8

    done = verify(*stretch, "-p", "notice")
    assert done.returncode == 1, done.stderr
    title, *holes = done.stdout.splitlines()
    assert re.search(rf": numbers {first - 2} to {last + 2}: 1 hole; 4 records, {NO_LOSS}:$", title), title
    assert holes == [f"  {first} to {last} missing (4), between {utc(before)} and {utc(after)}"]

    command = example(package)
    assert output("bash", "-o", "pipefail", "-c", command.replace("-b", " ".join(stretch), 1)) == ""
    hiding = command.replace("-b", " ".join([*stretch, "-p notice"]), 1)
    assert output("bash", "-o", "pipefail", "-c", hiding) == f"{first} to {last}\n"


def test_what_another_user_sends_is_not_looked_at(verify):
    unit, number = "test-verify-forged.service", 999_999_999
    since = now()
    with watching(unit, "open"):
        run_service(unit, FLOOD, 1, "/etc/hostname")
        forged = f"MESSAGE=forged\nSYSLOG_IDENTIFIER=traceleft\nTRACELEFT_EVENT=open\nTRACELEFT_SEQ={number}\n"
        run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "logger", "--journald", input=forged)
        wait_for(lambda: entries(f"TRACELEFT_SEQ={number}"), "the forged entry")
    said = complete(verify("--since", since, "--until", now()))
    assert (said.records, said.lost) == (3, NO_LOSS)


def test_nothing_found_is_not_complete(verify):
    time_of_nothing = now()
    done = verify("--since", time_of_nothing, "--until", time_of_nothing)
    assert (done.returncode, done.stdout) == (1, "no record found, so there is nothing to say.\n")


def test_a_journal_that_cannot_be_read_is_another_matter(verify):
    for option in ("--no-such-option", "--file=/no/such/file"):
        done = verify(option)
        assert (done.returncode, done.stdout) == (2, "")
        assert "traceleftd: journalctl failed: " in done.stderr
