"""Telling the log and the observers what happens to one connection."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable

from . import log
from .extension import Scope
from .log import logger
from .observers import NEVER_AWAITED, RAISED, Factory, Observer, async_observer
from .text import shown
from .verdict import Verdict


@functools.lru_cache(maxsize=128)
def _left_out(name: str) -> None:
    """Tell that an observer is left out; once, as each connection has one."""
    logger.error("an observer is left out: %s", NEVER_AWAITED.format(name))


class Reporter:
    """Tells the log and all observers of one connection; it never raises.

    The observers are told from `opened` on until `closed`.

    Args:
        scope: The application's ASGI scope.
        factories: They make the observers.
    """

    __slots__ = ("_factories", "_is_open", "_observers", "_scope")

    def __init__(self, scope: Scope, factories: tuple[Factory, ...]) -> None:
        self._factories = factories
        self._is_open = False
        self._observers: tuple[Observer, ...] = ()
        self._scope = scope

    def __str__(self) -> str:
        return log.name(self._scope)

    @property
    def is_observed(self) -> bool:
        """Whether there is an observer to tell."""
        return bool(self._observers)

    def join(self, factories: Iterable[Factory]) -> None:
        """Let others observe the connection, too, from now on."""
        new = tuple(one for one in factories if one not in self._factories)
        self._factories += new
        if self._is_open:
            self._observe(new)

    def _observe(self, factories: tuple[Factory, ...]) -> None:
        for factory in factories:
            try:
                observer = factory(self._scope)
                if observer is None:
                    continue
                if name := async_observer(observer):
                    _left_out(name)
                    continue
                self._observers += (observer,)
                observer.opened()
            except RAISED:
                logger.exception("%s failed to observe a connection", shown(factory))

    def _tell(self, what: str, *details: object) -> None:
        for observer in self._observers:
            try:
                getattr(observer, what)(*details)
            except RAISED:
                logger.exception("%s failed to observe that a connection %s", shown(observer), what)

    def lacking(self, functions: list[str]) -> None:
        """The server does not offer all functions of the extension."""
        logger.debug(
            "%s: the server offers no %s; docs/extension.md says what it cannot promise",
            str(self),
            ", ".join(functions),
        )

    def unexpected(self, step: str, state: str, expected: Iterable[str]) -> None:
        """The state of the connection does not know a step, which changes nothing."""
        logger.debug(
            "%s: %s, though the connection is %s; expected: %s",
            *(str(self), step, state, ", ".join(expected)),
        )

    def opened(self) -> None:
        """The application has accepted."""
        if not self._is_open:
            self._is_open = True
            self._observe(self._factories)

    def pinged(self, payload: bytes) -> None:
        """A Ping has been written."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Ping %s", str(self), payload.hex())
        if self._observers:
            self._tell("pinged")

    def ponged(self, payload: bytes, latency: float | None) -> None:
        """A Pong has answered a Ping."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Pong %s", str(self), payload.hex())
        if self._observers:
            self._tell("ponged", latency)

    def refused(self, cause: BaseException | None, *, required: bool) -> None:
        """The server has refused a Ping, which may be an accident."""
        logger.warning(
            "%s: a Ping was refused; if the next is, too, %s",
            str(self),
            "this connection is failed" if required else "keepalive is off for this connection",
            exc_info=cause,
        )

    def put_off(self, payload: bytes, seconds: float, why: str) -> None:
        """The deadline of a Ping's Pong has been put off."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s: no Pong for Ping %s, but %s: waiting for %.3g s more",
                *(str(self), payload.hex(), why, seconds),
            )

    def ending(self, deadline: float) -> None:
        """The connection will be closed at this time."""
        self._tell("ending", deadline)

    def failed(self, verdict: Verdict, latency: float | None) -> None:
        """The connection has been failed; `closed` follows."""
        log.failed(self._scope, verdict, latency)
        self._tell("failed", verdict)

    def closed(self) -> None:
        """The connection begins to close, or is lost."""
        self._tell("closed")
        self._is_open = False
        self._observers = self._factories = ()
