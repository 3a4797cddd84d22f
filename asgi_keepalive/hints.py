"""The type of what `get_keepalive` takes: for type checkers, and for FastAPI's `Depends`.

FastAPI reads the annotations of a dependency. It passes the connection to a parameter that is
annotated with Starlette's `HTTPConnection`, and can make nothing of any other connection's type.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol


class HasScope(Protocol):
    """A framework's connection object: Starlette's `WebSocket`, for one."""

    @property
    def scope(self) -> Mapping[str, Any]: ...


if TYPE_CHECKING:
    Connection = Mapping[str, Any] | HasScope
else:

    def __getattr__(name: str) -> Any:
        # Annotations are not evaluated before somebody reads them. FastAPI has imported Starlette
        # by then, which nothing here needs.
        if name != "Connection":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        starlette = sys.modules.get("starlette.requests")
        return Mapping[str, Any] | HasScope if starlette is None else starlette.HTTPConnection
