"""An error names the extra of this package that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import in this context what an extra installs.

    Raises:
        ImportError: It is not there; the error names the extra.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"asgi-keepalive[{extra}] is needed: {error}", name=error.name, path=error.path
        ) from error
