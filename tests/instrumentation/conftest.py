"""These tests need the dependency group `instrumentation`; without it none is run."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("ddtrace") else ["test_*.py"]
