"""The parameters of a request for `connections.json` are checked and read."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ..observers.live import LiveConnection

if TYPE_CHECKING:
    from ..observers.shared import SharedConnection

COUNT = re.compile(r"\d{1,9}")

PATTERNS = {
    "offset": COUNT,
    "limit": COUNT,
    "number": COUNT,
    "process": re.compile(r"[!-~]{1,300}"),
    "since": re.compile(r"\d{1,12}(\.\d{1,12})?"),
    "state": re.compile("new|ok|late|unsupported"),
    "search": re.compile(".{0,200}", re.DOTALL),
}
"""The parameters, and what each may be."""

TYPES: dict[str, Any] = {"process": str, "state": str, "search": str.lower, "since": float}
"""Their types; other parameters are integers."""


@dataclass(frozen=True, slots=True)
class Query:
    """A selection of connections and of failures.

    Attributes:
        offset: So many of the selected connections are left out.
        limit: At most so many are told.
        number: Only a connection of this number is selected.
        process: Only those of the process of this identity are.
        state: Only connections in this state are.
        search: Only those with this text in their path or client's address, in any case of letters;
            if they are of several processes, also those with it in their host or process.
        since: Only failures after this time are told, in seconds since the epoch.
    """

    offset: int = 0
    limit: int = sys.maxsize
    number: int | None = None
    process: str = ""
    state: str = ""
    search: str = ""
    since: float = 0

    @property
    def selects_all(self) -> bool:
        """Whether every connection is selected."""
        return not (self.search or self.state)

    def selects(self, connection: LiveConnection | SharedConnection) -> bool:
        """Return whether a connection is selected by its state and the text."""
        if self.search and self.search not in _text(connection):
            return False
        return not self.state or self.state == connection.state


def _text(one: LiveConnection | SharedConnection) -> str:
    """Return the text to search; the names of a process say nothing if there is but one."""
    names = "" if isinstance(one, LiveConnection) else f"\n{one.host}\n{one.pid}"
    return f"{one.path}\n{one.client}{names}".lower()


def parse(query: bytes) -> Query | None:
    """Return what is asked for, or `None` if nobody can say."""
    try:
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return None
    asked = {}
    for name, value in given:
        if name not in PATTERNS or not PATTERNS[name].fullmatch(value):
            return None
        asked[name] = TYPES.get(name, int)(value)
    return replace(Query(), **asked)
