"""The table of docs/deployment.md that says what a handler is told at SIGTERM."""

from __future__ import annotations

import re
import signal
import sys
import time

import pytest

from ..support.client import CLOSE, Client, close_code
from ..support.process import ROOT, started
from ..support.timeouts import LATE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")

APP = "tests.support.exit_app:app"
GUNICORN = f"gunicorn --bind 127.0.0.1:PORT {APP}"
LONG = "20"
"""Seconds of work for which no server here waits."""

YOUNG = 1.2
"""For so many seconds, daphne's applications are not cancelled."""


def row(server: str) -> list[str]:
    """Return the other cells of a server's row."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    [table] = re.findall(r"<!-- sigterm -->\n(.*?)\n\n", page, re.DOTALL)
    rows = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines()]
    [found] = [cells for name, *cells in rows if name == server]
    return found


@pytest.mark.parametrize(
    ("server", "command", "work", "earliest", "latest"),
    [
        ("uvicorn", f"uvicorn {APP} --port PORT", "2", 0, 0),
        (
            "uvicorn `--timeout-graceful-shutdown`",
            f"uvicorn {APP} --port PORT --timeout-graceful-shutdown 1",
            *(LONG, 0, 0),
        ),
        (
            "hypercorn",
            f"hypercorn --bind 127.0.0.1:PORT --graceful-timeout 1 {APP}",
            *(LONG, 1, 1),
        ),
        ("daphne", f"daphne --port PORT {APP}", LONG, 0, 0),
        ("gunicorn `-k asgi`", f"{GUNICORN} -k asgi --graceful-timeout 5", LONG, 2, 3.5),
        (
            "gunicorn `-k uvicorn_worker.UvicornWorker`",
            f"{GUNICORN} -k uvicorn_worker.UvicornWorker --graceful-timeout 1",
            *(LONG, 0, 0),
        ),
    ],
    ids=["uvicorn", "uvicorn-graceful", "hypercorn", "daphne", "gunicorn", "gunicorn-uvicorn"],
)
def test_told_as_the_page_says(
    server: str, command: str, work: str, earliest: float, latest: float
) -> None:
    waiting, working, code, _ = row(server)
    with started(sys.executable, "-m", *command.split(), WORK=work) as process:
        with (
            Client(process.port, path="/receive").open() as first,
            Client(process.port, path="/work").open() as second,
        ):
            for _ in first, second:
                process.told()
            time.sleep(YOUNG)
            began = time.monotonic()
            process.popen.send_signal(signal.SIGTERM)
            for client in first, second:
                assert close_code(client.expect(CLOSE))[0] == int(code)
            assert earliest <= time.monotonic() - began < latest + LATE
            process.popen.wait(timeout=30)
        expected = {"/receive": waiting.split(",")[0], "/work": working.split(",")[0]}
        told = [process.told() for cell in expected.values() if "nothing" not in cell]
    for one in told:
        assert str(one["told"]) == expected[one["path"]]
