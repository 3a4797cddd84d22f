"""Level 2: what `fail` refuses, and in which words."""

from __future__ import annotations

import pytest

from ..support.client import CLOSE, PING, close_code
from .conftest import Speak


def test_call_that_raises_changes_nothing(taken: Speak) -> None:
    speaker = taken()
    for arguments, message in {
        (1005, "", 1): "1005 must not be in a Close frame",
        (1006, "", 1): "1006 must not",
        (999, "", 1): "999 must not",
        (4000, "x" * 124, 1): "at most 123 bytes",
        (4000, "é" * 62, 1): "at most 123 bytes",
        (4000, "", -1): "timeout must be",
        (4000, "", float("nan")): "timeout must be",
    }.items():
        with pytest.raises(ValueError, match=message):
            speaker.call("fail", *arguments)
        speaker.ping(b"open")
        assert speaker.client.expect(PING) == b"open"
    speaker.call("fail", 4000, "x" * 123, 1)
    assert close_code(speaker.client.expect(CLOSE)) == (4000, "x" * 123)
    assert speaker.closings == []
