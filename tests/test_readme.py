"""What the README and the documentation show is what happens."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import asgi_keepalive
from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.endpoint.adapter import ReadingAdapter

from .support.fake_loop import FakeServer, Puppet, in_no_time

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
FOR_NPM = ROOT / "asgi_keepalive" / "browser" / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), FOR_NPM, *sorted(DOCS.glob("*.md"))]
DOCUMENTATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"][
    "Documentation"
]
QUICKSTARTS = README, DOCS / "quickstart.md"


def code(containing: str, *pages: Path) -> str:
    """Return the block of Python with this in it, which one of the pages has."""
    text = "".join(page.read_text() for page in pages or PAGES)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if containing in b]
    return str(block)


def test_skeleton_of_an_adapter() -> None:
    namespace: dict[str, Any] = {"ReadingAdapter": ReadingAdapter}
    exec(code("class ExampleAdapter"), namespace)
    assert not namespace["ExampleAdapter"].__abstractmethods__


@in_no_time
async def test_observer() -> None:
    app = Puppet()
    namespace: dict[str, Any] = {"app": SimpleNamespace(add_middleware=lambda _, **keys: keys)}
    exec(code("class Slow"), namespace)
    wrapped = KeepaliveMiddleware(app, observers=[namespace["Slow"]])
    FakeServer(wrapped, pong_after=1.5)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        await asyncio.sleep(30)
    assert printed.getvalue() == "/chat took 1.5 s\n"


@pytest.mark.parametrize(
    ("part", "path", "shown"),
    [
        ("PrometheusMetrics()", "/metrics/", "asgi_keepalive_connections"),
        ("OpenTelemetryMetrics()", "/openapi.json", ""),
        ('mount("/connections", Dashboard(live))', "/connections/", "<title>Connections</title>"),
    ],
)
def test_recipes_for_operators(part: str, path: str, shown: str) -> None:
    app = FastAPI()
    exec(code(part), {"app": app, "KeepaliveMiddleware": KeepaliveMiddleware})
    answer = TestClient(app).get(path)
    assert answer.status_code == 200
    assert shown in answer.text


def test_two_commands_do_everything_and_ci_runs_them() -> None:
    commands = re.findall(r"^python -m .*$", README.read_text(), re.MULTILINE)
    assert [command.rpartition(" && ")[2] for command in commands] == [
        "python -m tox run -e demo",
        "python -m tox run",
    ]
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_setting_and_every_public_name_is_documented() -> None:
    settings = "ping_interval", "ping_timeout", "close_timeout", "required", "observers"
    assert all(f"| `{name}` |" in README.read_text() for name in settings)
    reference = re.findall(
        r"^\.\. auto\w+:: asgi_keepalive\.(\w+)", (DOCS / "api.md").read_text(), re.M
    )
    assert set(reference) >= set(asgi_keepalive.__all__)


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 120


def anchors(page: Path) -> set[str]:
    """Return what may stand behind the "#" of a link to a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if link.startswith(DOCUMENTATION):
            name = link.removeprefix(DOCUMENTATION) or "index.html"
            target = DOCS / f"{name.removesuffix('.html')}.md"
        elif ":" in link:
            continue
        else:
            target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("page", [README, FOR_NPM])
def test_readme_has_only_absolute_links(page: Path) -> None:
    """The package index does not know the files of the repository."""
    links = re.findall(r"\]\(([^)]*)\)", page.read_text())
    assert links
    assert all(link.startswith("https://") for link in links)


def test_table_of_contents_has_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    lists = re.findall(r"```{toctree}.*?\n\n(.*?)\n```", index, re.DOTALL)
    entries = "\n".join(lists).splitlines()
    names = [entry.rpartition("<")[2].rstrip(">") for entry in entries]
    assert sorted(names) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")
