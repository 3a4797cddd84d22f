"""These tests need the dependency group `instrumentation`; without it none is run."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest.register_assert_rewrite("tests.instrumentation.playing")

collect_ignore_glob = [] if find_spec("ddtrace") else ["test_*.py"]
