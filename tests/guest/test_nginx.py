"""nginx, as Debian ships it, serves a page to curl while both are watched."""

import os
import pwd
import re
from pathlib import Path

import pytest
from harness import SCRATCH, policy, records, run, show

PAGE = Path("/var/www/html/traceleft.html")


@pytest.fixture(scope="module")
def served():
    """Records of nginx and of curl, whose log tells the remote port."""
    example = Path("/usr/share/doc/traceleft/examples/nginx.toml.example").read_text()
    assert 'units = ["nginx.service"]' in example
    PAGE.write_text("a page\n")
    log = Path("/etc/nginx/conf.d/traceleft.conf")
    log.write_text(f"log_format tl '$remote_addr $remote_port $status';\naccess_log {SCRATCH}/nginx.log tl;\n")
    with policy("test-nginx", ["nginx.service", "test-curl.service"], ["open", "exec", "tcp-connect"]):
        run("systemctl", "start", "nginx.service")
        invocation = show("nginx.service", "InvocationID")
        run(
            "systemd-run", "--quiet", "--wait", "--unit=test-curl", "curl", "-sS", "-f", "-o", SCRATCH / "page",
            "http://127.0.0.1/traceleft.html",
        )  # fmt: skip
        nginx, curl = records("nginx.service"), records("test-curl.service")
        main = show("nginx.service", "MainPID")
        run("systemctl", "stop", "nginx.service")
    log.unlink()
    inode = PAGE.stat().st_ino
    PAGE.unlink()
    assert (SCRATCH / "page").read_text() == "a page\n"
    return {"nginx": nginx, "curl": curl, "invocation": invocation, "main": main, "inode": inode}


def test_the_page_is_opened_by_a_worker(served):
    (record,) = [r for r in served["nginx"] if r.event == b"open" and r.path == os.fsencode(PAGE)]
    assert int(record.result) >= 0
    assert record.number("TRACELEFT_INODE") == served["inode"]
    assert record.comm == b"nginx" and record.exe == b"/usr/sbin/nginx"
    assert record.ppid == served["main"].encode()
    assert int(record.uid) == pwd.getpwnam("www-data").pw_uid
    assert record.invocation_id == served["invocation"].encode()


def test_nginx_itself_is_executed_first(served):
    executed = [r for r in served["nginx"] if r.event == b"exec"]
    assert executed and {r.path for r in executed} == {b"/usr/sbin/nginx"}
    assert served["nginx"][0] == executed[0]


def test_its_configuration_is_read(served):
    paths = {r.path for r in served["nginx"] if r.event == b"open"}
    assert {b"/etc/nginx/nginx.conf", os.fsencode(SCRATCH / "nginx.log")} <= paths


def test_curl_connects_from_where_nginx_says(served):
    (connect,) = [r for r in served["curl"] if r.event == b"tcp-connect"]
    address, port, status = re.findall(r"\S+", (SCRATCH / "nginx.log").read_text())
    assert status == "200"
    assert (connect.saddr, connect.sport) == (address.encode(), port.encode())
    assert (connect.daddr, connect.dport, connect.result) == (b"127.0.0.1", b"80", b"0")
