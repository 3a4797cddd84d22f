"""All metrics share these labels and buckets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..extension import Scope

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Upper bounds of a latency histogram, in seconds."""


def route(scope: Scope) -> str | None:
    """Return the template of the route that a framework has found, or `None` if it tells none.

    It is `/rooms/{room}`, say, and never the path: as a label of metrics each value is a time
    series of its own. FastAPI, newer Starlette and Litestar tell it, once they have routed.
    """
    template = scope.get("path_template")  # Litestar's
    if isinstance(template, str):
        return template
    found = scope.get("route")  # Starlette's and FastAPI's
    path = getattr(found, "path", None)
    if not isinstance(path, str):
        return None
    # What mounts have taken off is told only as it was in the request.
    root: str = scope.get("root_path", "")
    mounted = root.removeprefix(scope.get("app_root_path", root))
    if not _is_literal(mounted, getattr(scope.get("router"), "routes", ())):
        return path
    return mounted if _is_mount(found) else mounted + path


def _is_literal(prefix: str, routes: Iterable[Any]) -> bool:
    """Whether mounts without parameters make up a path."""
    return any(
        prefix == mount.path
        or (
            prefix.startswith(f"{mount.path}/")
            and _is_literal(prefix[len(mount.path) :], mount.routes)
        )
        for mount in routes
        if _is_mount(mount) and mount.path and "{" not in mount.path
    )


def _is_mount(route: Any) -> bool:
    return isinstance(getattr(route, "path", None), str) and hasattr(route, "routes")
