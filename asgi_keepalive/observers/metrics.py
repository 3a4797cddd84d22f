"""What metrics have in common: how connections are told apart, and how latencies."""

from __future__ import annotations

import re

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
    # What mounts have taken off is told only as it was in the request, so it is left out where it
    # has parameters: those that are not the route's own.
    root: str = scope.get("root_path", "")
    mounted = root.removeprefix(scope.get("app_root_path", root))
    is_mount = hasattr(found, "routes")  # of an application that tells no routes
    own = [] if is_mount else re.findall(r"\{(\w+)", path)
    if not scope.get("path_params", {}).keys() <= set(own):
        return path
    return mounted if is_mount else mounted + path
