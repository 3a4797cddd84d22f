"""What the tests of several observers need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..support.redis import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server
