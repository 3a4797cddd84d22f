"""Outputs that are taken for a terminal."""

from __future__ import annotations

import sys
from typing import Any

import pytest


class Terminal:
    """Stands for a terminal."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def be_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take its outputs for a terminal."""
    for name in "stdout", "stderr":
        monkeypatch.setattr(sys, name, Terminal(getattr(sys, name)))
