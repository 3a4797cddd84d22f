"""What tests need of the machine that they run on."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip the test on a developer's machine; under `CI=true` fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and under CI no test may be left out")
    pytest.skip(reason)


def program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")
    return path or unavailable(f"{name} is not installed")
