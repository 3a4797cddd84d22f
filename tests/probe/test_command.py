"""The command line: its arguments, its exit status, and what it prints where."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgi_keepalive import __main__
from asgi_keepalive.__main__ import main
from asgi_keepalive.probe import command, path, plain

from ..support.client import PING, PONG
from ..support.process import ROOT
from ..support.terminal import be_a_terminal
from .scripted import Peer, scripted

pty = pytest.importorskip("pty")

QUICK = "--watch=0.2", "--pings=3", "--idle-limit=0.2", "--rungs=2"


@pytest.fixture(autouse=True)
def _no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "FIRST_HEARTBEAT", 0.01)


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a server that does nothing by itself."""

    def served(peer: Peer) -> None:
        peer.accept()
        peer.answer()

    with scripted(served) as port:
        yield f"ws://127.0.0.1:{port}/"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "the following arguments are required: command"),
        (["prove"], "invalid choice: 'prove'"),
        (["probe"], "the following arguments are required: url"),
        (["probe", "http://a"], "argument url: http://a isn't a valid URI: scheme isn't ws or wss"),
        (["probe", "ws://a", "-H", "b"], "argument --header/-H: 'b' is not a header, as in"),
        (["probe", "wss://a", "--ca", "/no"], "argument --ca: /no: No such file or directory"),
        (["probe", "ws://a", "--subprotocol", ""], "'' is not the name of a subprotocol"),
        (["probe", "ws://a", "--watch", "0"], "argument --watch: 0 is too small, or not finite"),
        (["probe", "ws://a", "--watch", "inf"], "argument --watch: inf is too small, or not fin"),
        (["probe", "ws://a", "--watch", "x"], "argument --watch: could not convert string to fl"),
        (["probe", "ws://a", "--idle-limit", "-1"], "argument --idle-limit: -1 is too small, or"),
        (["probe", "ws://a", "--pings", "0"], "argument --pings: 0 is too small, or not finite"),
        (["probe", "ws://a", "--rungs", "1.5"], "argument --rungs: invalid literal for int()"),
        (["probe", "ws://a", "--rungs", "2000"], "argument --rungs: 2000 is not from 1 to 50"),
        (["probe", "ws://a", "--pings", "1.5"], "argument --pings: invalid literal for int()"),
        (["probe", "ws://a", "--send", "\udcff"], "argument --send: '\\udcff' is no text, and"),
        (["probe", "ws://a:0"], "argument url: ws://a:0 isn't a valid URI: there is no port 0"),
    ],
)
def test_bad_arguments(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert error in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["probe", "--help"])
    assert raised.value.code == 0
    assert "connections of the ladder, which are open at once (6)" in capsys.readouterr().out


def test_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    printed = capsys.readouterr().out
    for name, purpose in __main__.COMMANDS.items():
        assert name in printed
        assert purpose in " ".join(printed.split())


def test_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "asgi_keepalive.__main__")
    monkeypatch.setattr(sys, "argv", ["asgi-keepalive", "--help"])
    with pytest.raises(SystemExit) as raised:
        runpy.run_module("asgi_keepalive", run_name="__main__", alter_sys=True)
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("usage: asgi-keepalive ")


def test_nothing_of_it_is_imported_with_the_package() -> None:
    code = "import asgi_keepalive, sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    modules = result.stdout.split()
    assert not [name for name in modules if "probe" in name or name in ("rich", "argparse")]


def test_plain_lines(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", url, *QUICK]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[:3] == [url, "", "Handshake"]
    assert any(line.startswith("  Pings           none within 2") for line in lines)
    assert "... waiting for Pings, up to 0.2 s" in printed.err.splitlines()
    assert "█" in printed.out


def test_characters_that_an_output_does_not_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        plain.show("µ", [])
    assert (tmp_path / "out").read_text() == "?\n"


def test_a_password_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "ws://me:secret@127.0.0.1:1/"]) == 1
    printed = capsys.readouterr()
    assert "secret" not in printed.out + printed.err
    assert printed.out.startswith("ws://127.0.0.1:1/\n")


def at_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run it with a terminal for both outputs; return the exit status and what was printed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", **variables}
    with subprocess.Popen(
        [sys.executable, "-m", "asgi_keepalive", "probe", *arguments],
        **{"stdout": theirs, "stderr": theirs, "cwd": ROOT, "env": environment},
    ) as process:
        os.close(theirs)
        printed = b""
        try:
            while data := os.read(ours, 65536):
                printed += data
        except OSError:  # how Linux tells the end
            pass
    os.close(ours)
    return process.returncode, printed.decode()


def test_colours_at_a_terminal(url: str) -> None:
    status, printed = at_terminal(url, *QUICK)
    assert status == 1
    assert "\x1b[1;36mHandshake\x1b[0m" in printed
    assert "Nothing" not in printed
    assert "being silent for up to 0.2 s" in printed


@pytest.mark.parametrize("variables", [{"COLUMNS": "20"}, {"PYTHONIOENCODING": "ascii"}])
def test_terminals_that_cannot_show_it(url: str, variables: dict[str, str]) -> None:
    status, printed = at_terminal(url, *QUICK, **variables)
    assert status == 1
    assert "\r\nHandshake\r\n" in printed
    assert "Traceback" not in printed


def test_colours(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch)
    assert main(["probe", url, *QUICK]) == 1
    assert "Handshake" in capsys.readouterr().out


def test_without_rich(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "asgi_keepalive.probe.terminal", raising=False)
    monkeypatch.delattr("asgi_keepalive.probe.terminal", raising=False)
    assert main(["probe", url, *QUICK]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("asgi-keepalive[cli] is needed: ")
    assert "; without it there are plain lines\n" in printed.err
    assert "Handshake\n" in printed.out


def interrupted(after: Callable[[], bool]) -> None:
    """Send this process the signal of Ctrl-C as soon as something holds."""

    def wait() -> None:
        while not after():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait).start()


def test_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    """What is known so far is printed, the silence of the ladder included."""
    heard = []

    def served(peer: Peer) -> None:
        peer.accept()
        peer.send(PING, b"x")
        while (frame := peer.receive())[0] == PING:
            peer.send(PONG, frame[1])
        heard.append(frame)
        peer.answer()

    began = time.monotonic()
    with scripted(served) as port:
        interrupted(lambda: len(heard) == 3 + 2 + 1)
        bounds = "--watch=60", "--idle-limit=60", "--rungs=2", "--pings=3", "--parallel=9"
        status = main(["probe", f"ws://127.0.0.1:{port}/", "--json", *bounds])
    assert status == command.INTERRUPTED
    assert time.monotonic() - began < 10
    report = json.loads(capsys.readouterr().out)
    assert report["interrupted"]
    assert len(report["path"]["round_trips"]) == 3
    assert report["keepalive"]["watched"]["pings"][0]["payload"] == "78"
    assert [rung["ending"] for rung in report["path"]["ladder"]] == [None, None]
