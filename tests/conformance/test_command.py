"""The command: it starts a server, prints what is found, and tells it by its exit status."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asgi_keepalive.conformance import command, kernel, report, target
from asgi_keepalive.conformance.outcomes import FAIL, NA, OK, NotSeen, Outcome, Trace
from asgi_keepalive.conformance.page import BOXES, level_of
from asgi_keepalive.conformance.running import Result

from ..support.terminal import be_a_terminal

PYTHON = shlex.quote(sys.executable)
DECLARES = "--ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol"


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_server_that_declares_level_1_over_tcp_and_tls(capsys: pytest.CaptureFixture[str]) -> None:
    server = f"uvicorn {{app}} --port {{port}} --loop {{loop}} {{tls}} {DECLARES}"
    assert run(server, "--level", "1", "--loops", "asyncio") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("asyncio TCP: announce_exit, bound_closing, buffered, fail")
    assert lines[1].startswith(f"  ok   1.1  {BOXES['1.1']} [")
    [summary] = [line for line in lines if "reached" in line]
    assert summary == "level 1 (take_over, ping) reached in 2 runs: 30 ok, 0 FAIL, 0 n.a."


def test_server_that_declares_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Its adapter adds the extension, if that is asked for."""
    assert run("uvicorn {app} --port {port}", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["level"] == 0
    boxes = found["runs"]["TCP"]["boxes"]
    assert boxes["1.1"]["status"] == "FAIL"
    assert boxes["1.1"]["seen"] == "there is no ping and no take_over"
    assert len(boxes["1.1"]["trace"]) == 3
    assert boxes["5.1"] == {
        "says": BOXES["5.1"],
        "status": "n.a.",
        "seen": "level 5 is not offered",
        "trace": [],
    }


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("uvicorn {app}", "the command must contain {port}"),
        ("uvicorn --port {port}", "the command must contain {app}"),
        ("/there/is/none {app} {port}", "No such file or directory: '/there/is/none'"),
        (f"{PYTHON} -c 'print(5 * 5)' {{app}} {{port}}", "its exit status is 0\n25\n"),
        ("uvicorn {app} --port {port} 'a", "No closing quotation"),
    ],
)
def test_command_that_cannot_be_run(
    server: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server) == 2
    assert why in capsys.readouterr().err


def test_command_that_ignores_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "START", 0.5)
    command = f"{PYTHON} -c 'import time; print(25, flush=True); time.sleep(60)' {{port}}"
    with (
        pytest.raises(target.CannotRun, match=r"it does not listen on 127\.0\.0\.1:\d+\n25\n"),
        target.started(command),
    ):
        pass


def test_certificate_is_given_or_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(**options: str) -> str:
        server = f"{PYTHON} -c 'import sys; print(sys.argv)' {{app}} {{port}} {{tls}}"
        defaults = {"tls": command.TLS, "cert": None, "key": None}
        arguments = {"command": server, "adapter": False, **defaults, **options}
        with pytest.raises(target.CannotRun) as caught:
            command._result(argparse.Namespace(**arguments), "", secure=True)
        return str(caught.value)

    with target.certificate() as (cert, key):
        ssl.create_default_context().load_verify_locations(cert)
        given = f"'--ssl-certfile', '{cert}', '--ssl-keyfile', '{key}'"
        assert given in shown(cert=cert, key=key)
        assert f"'--both', '{cert}'" in shown(cert=cert, tls="--both {key}")

    def missing(*args: Any, **keys: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert shown() == "openssl makes no certificate: give --cert and --key"


def test_loops_are_those_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def loops(server: str, loops: str = "") -> list[str]:
        return command._loops(argparse.Namespace(command=server, loops=loops))

    assert loops("a server") == [""]
    assert loops("{loop}", "one, two") == ["one", "two"]
    assert loops("{loop}") == ["asyncio", "uvloop"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert loops("{loop}") == ["asyncio"]


def test_process_that_does_not_exit_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "EXIT", 0.1)
    code = (
        "import signal, socket, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "listening = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    )
    with target.started(f"{PYTHON} -c {shlex.quote(code)} {{port}}") as process:
        pass
    assert process._process.returncode == -9


SLEEPS = f"{PYTHON} -c 'import time; time.sleep(60)'"


def test_second_interrupt_kills_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    process = target.Process(SLEEPS)
    wait, waits = process._process.wait, iter([KeyboardInterrupt()])

    def interrupted(timeout: float | None = None) -> int:
        for error in waits:
            raise error
        return wait(timeout)

    monkeypatch.setattr(process._process, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.join()
    assert process._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_no_server(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processes = []

    def run_checks(run: Any, highest: int) -> Any:
        processes.append(run.target._process)
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr(command, "run_checks", run_checks)
    before = signal.getsignal(number)
    assert run("uvicorn {app} --port {port}") == 130
    assert processes[0].poll() is not None
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with target.ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def result(failed: str = "", level: int = 5) -> Result:
    boxes = {
        box: Outcome(FAIL, "why", ("0.1 one", "0.2 two")) if box == failed else Outcome(OK, "all")
        for box in BOXES
    }
    boxes.update({box: Outcome(NA, "not here") for box in BOXES if level_of(box) > level})
    return Result(("ping", "take_over"), boxes)


def test_level_is_the_highest_without_a_failure() -> None:
    assert [result(level=level).level for level in range(6)] == [0, 1, 2, 3, 4, 5]
    assert result("1.3").level == 0
    assert result("3.1").level == 2
    assert report.level({"one": result(level=4), "other": result("3.1")}) == 2


def test_failure_has_a_trace_below_its_line() -> None:
    lines = list(report.lines("TCP", result("3.1")))
    place = lines.index(f"  FAIL 3.1  {BOXES['3.1']} [why]")
    assert lines[place + 1 : place + 3] == ["            0.1 one", "            0.2 two"]


def test_table_for_a_pull_request() -> None:
    lines = list(report.as_markdown("a server", {"TCP": result(), "TLS": result("3.1", 3)}))
    assert lines[0].startswith("`a server`: level 2 (fail) reached in 2 runs: ")
    assert lines[2:4] == ["| box | TCP | TLS | what the page says |", "|---|---|---|---|"]
    assert f"| 3.1 | ok | FAIL | {BOXES['3.1']} |" in lines
    assert f"| 5.1 | ok | n.a. | {BOXES['5.1']} |" in lines


def test_markdown_of_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_result", lambda *args: result())
    assert run("{app} {port}", "--markdown") == 0
    assert capsys.readouterr().out.startswith(
        "`{app} {port}`: level 5 (traffic) reached in 1 run: "
    )


def test_colours_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    be_a_terminal(monkeypatch)
    monkeypatch.setattr(command, "_result", lambda *args: result("3.1", 4))
    assert run("{app} {port}") == 1
    printed = capsys.readouterr()
    assert "checking TCP" in printed.err
    assert "\x1b[1;36mTCP: ping, take_over offered\x1b[0m" in printed.out
    for status, style in (OK, "32"), (FAIL, "1;31"), (NA, "33"):
        assert f"\x1b[{style}m{status}" in printed.out
    assert "0.2 two" in printed.out
    assert "\x1b[1;31mlevel 2 (fail) reached" in printed.out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("{app} {port}") == 1
    assert not re.search(r"\x1b\[[\d;]*3\dm", capsys.readouterr().out)


def test_kernel_that_lists_no_sockets_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel, "TABLES", (tmp_path / "tcp",))
    with pytest.raises(NotSeen, match="the kernel's sockets cannot be seen: there is no"):
        kernel.sockets(1, 2)


def test_trace_keeps_the_last() -> None:
    trace = Trace()
    for number in range(5):
        trace(f"line {number}")
    assert [line.partition(" ")[2] for line in trace.last()] == ["line 2", "line 3", "line 4"]
