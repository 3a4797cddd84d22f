"""The page names each option, each key and each finding."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from asgi_keepalive.probe import findings
from asgi_keepalive.probe.command import add_arguments
from asgi_keepalive.probe.structured import structured

from ..support.process import ROOT
from .test_words import changed, good

PAGE = (ROOT / "docs" / "probe.md").read_text()


def test_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for action in parser._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in PAGE, option
    bounds = parser._action_groups[-1]._group_actions
    for action in bounds:
        assert re.search(rf"`{action.option_strings[0]}` \| {action.default:g}\b", PAGE), action


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from keys(one)


def test_keys() -> None:
    facts = changed(lost=1)
    for key in {*keys(json.loads(structured(facts))), *keys(json.loads(structured(good())))}:
        assert re.search(rf"`(\w+\.)?{key}`", PAGE), key


def test_findings() -> None:
    names = set(re.findall(r'Finding\(\s*"([\w-]+)"', inspect.getsource(findings)))
    assert len(names) == 10
    for name in names:
        assert f"| `{name}` |" in PAGE
