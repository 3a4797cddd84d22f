"""The table of `python -m tests.matrix`, without the servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from .instrumentation.playing import PACKAGES
from .matrix import __main__ as command
from .matrix import between
from .matrix.promises import PROMISES
from .matrix.servers import ROWS, Combination, Row
from .matrix.table import BEGIN, BETWEEN, END, Line, markdown, merged, rewritten, written

ALL = [Combination(loop, scheme) for loop in ("asyncio", "uvloop") for scheme in ("ws", "wss")]


def cell(*broken: str, combinations: list[Combination] = ALL) -> str:
    return merged({one: str(one) not in broken for one in combinations})


def test_cell_where_all_agree() -> None:
    assert cell() == "yes"
    assert cell(*map(str, ALL)) == "no"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (("asyncio wss", "uvloop wss"), "no on wss"),
        (("asyncio ws", "uvloop ws"), "no on ws"),
        (("uvloop ws", "uvloop wss"), "no on uvloop"),
        (("uvloop wss",), "no on uvloop wss"),
        (("asyncio ws", "uvloop wss"), "no on asyncio ws, uvloop wss"),
        (("asyncio ws", "asyncio wss", "uvloop wss"), "no on asyncio ws, asyncio wss, uvloop wss"),
    ],
)
def test_cell_says_where_it_is_broken(broken: tuple[str, ...], expected: str) -> None:
    assert cell(*broken) == expected


def test_cell_of_a_server_with_one_loop() -> None:
    assert cell("asyncio wss", combinations=ALL[:2]) == "no on wss"


def test_table() -> None:
    assert markdown(["kept", "told"], [Line("a", "the server", ["yes", "no on wss"])]) == (
        "| server | keepalive of | kept | told |\n"
        "| --- | --- | --- | --- |\n"
        "| a | the server | yes | no on wss |\n"
    )


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}old\n{END}after\n"
    assert written(text) == "old\n"
    assert rewritten(text, "new\n") == f"before\n{BEGIN}new\n{END}after\n"
    assert rewritten(text, "old\n") == text


@pytest.mark.parametrize(
    "text", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END]
)
def test_markers_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^expected one <!-- matrix --> and one <!-- /matrix --> after it$"
    ):
        rewritten(text, "new\n")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with a table; running the servers gives a table with their names."""

    def table(rows: list[Row]) -> str:
        return "".join(f"{row.server}\n" for row in rows)

    monkeypatch.setattr(command, "table", table)
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}old\n{END}")
    return page


def test_prints_only(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([], page) == 0
    assert "daphne\n" in capsys.readouterr().out
    assert written(page.read_text()) == "old\n"


def test_some_servers(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["granian", "gunicorn"], page) == 0
    assert capsys.readouterr().out == "granian\ngunicorn `-k asgi`\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["daphne", "--write"], "docs/matrix.md has all servers"),
        (["daphne", "--check"], "docs/matrix.md has all servers"),
        (["unheard-of"], "no such server: unheard-of"),
        (["--write", "--check"], "not allowed with argument"),
    ],
)
def test_refused(
    page: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments, page)
    assert expected in capsys.readouterr().err
    assert written(page.read_text()) == "old\n"


def test_check_fails_until_it_is_written(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--check"], page) == 1
    assert "-old\n" in capsys.readouterr().err
    assert command.main(["--write"], page) == 0
    assert command.main(["--check"], page) == 0


def outcome(
    row: Row, combination: Combination, supported: bool | None, broken: str = ""
) -> command.Outcome:
    happened = {title: "broken" if title == broken else None for title, _ in PROMISES}
    return command.Outcome(row, combination, supported, happened)


def test_line() -> None:
    row, title = ROWS[0], PROMISES[-1].title
    outcomes = [outcome(row, one, True, broken=title if one.scheme == "wss" else "") for one in ALL]
    cells = ["yes"] * (len(PROMISES) - 1) + ["no on wss"]
    assert command.line(row, outcomes) == Line(row.server, "the middleware", cells)


def test_line_says_where_the_middleware_does_nothing() -> None:
    [row] = [row for row in ROWS if row.server == "granian"]
    nowhere = [outcome(row, one, False) for one in ALL]
    assert command.line(row, nowhere).keepalive == "the middleware (`supported`: no)"
    somewhere = [outcome(row, one, one.loop == "asyncio") for one in ALL]
    assert command.line(row, somewhere).keepalive == "the middleware (`supported`: no on uvloop)"


def test_line_of_a_servers_own_keepalive() -> None:
    row = ROWS[-1]
    assert command.line(row, [outcome(row, one, None) for one in ALL]).keepalive == "the server"


def test_page_has_every_server_and_every_promise() -> None:
    table = written(command.PAGE.read_text())
    titles = table.partition("\n")[0]
    assert titles == f"| server | keepalive of | {' | '.join(title for title, _ in PROMISES)} |"
    lines = table.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {row.server}" for row in ROWS]


def test_commands() -> None:
    [row] = [row for row in ROWS if row.server == "daphne" and not row.own]
    plain, tls = (row.arguments(one, Path("a.pem"))[-1] for one in ALL[:2])
    assert plain == "tcp:PORT:interface=127.0.0.1"
    assert tls == "ssl:PORT:privateKey=a.pem:certKey=a.pem:interface=127.0.0.1"
    for row in ROWS:
        for one in row.combinations:
            arguments = " ".join(row.arguments(one, Path("a.pem")))
            assert "LOOP" not in arguments
            assert "PEM" not in arguments
            assert ("a.pem" in arguments) == (one.scheme == "wss")


class TestBetween:
    """`python -m tests.matrix.between`, without the servers."""

    @pytest.fixture
    def page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(between, "row", lambda name: {"hypercorn": "yes"})
        page = tmp_path / "page.md"
        page.write_text("<!-- between -->\nold\n<!-- /between -->\nafter\n")
        return page

    def test_writes_its_table(self, page: Path) -> None:
        assert between.main(["--write"], page) == 0
        assert "\n| `ddtrace-run` |  |  |  | yes |" in page.read_text()
        assert page.read_text().endswith("<!-- /between -->\nafter\n")
        assert between.main(["--check"], page) == 0

    def test_tells_a_difference(self, page: Path) -> None:
        assert between.main(["--check"], page) == 1
        assert "old" in page.read_text()

    def test_page_has_a_cell_for_each_package(self) -> None:
        table = written(between.PAGE.read_text(), BETWEEN)
        assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]] == [
            package.title for package in PACKAGES.values()
        ]
