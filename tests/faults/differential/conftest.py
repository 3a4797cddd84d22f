"""Two servers for each test, one behind the middleware and one plain."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ...conftest import SERVERS
from .comparison import Pair
from .stage import Stage, staged

Staged = Callable[..., Stage]


@pytest.fixture(params=SERVERS)
def ws(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ws", "wss"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(
    ws: str, loop: str, scheme: str, certificate: tuple[ssl.SSLContext, Path]
) -> Iterator[Staged]:
    """Run servers until the end of the test."""
    context, path = certificate if scheme == "wss" else (None, None)
    with ExitStack() as stack, collecting_when_told():

        def stage(kind: str, **options: Any) -> Stage:
            return stack.enter_context(staged(kind, ws, loop, context, path, **options))

        yield stage
    # uvicorn's deprecated protocol by itself leaves errors that nobody has looked at. What asyncio
    # says of them then must not be said in another test.
    gc.collect()


@contextmanager
def collecting_when_told() -> Iterator[None]:
    """Let only `gc.collect` look for garbage, and only in what comes now."""
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def pair(ws: str, stage: Staged) -> Pair:
    return Pair(ws, stage)
