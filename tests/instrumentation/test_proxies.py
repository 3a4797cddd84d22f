"""wrapt's proxies, of which ddtrace, New Relic and OpenTelemetry make wrappers; some are in C."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from asgi_keepalive.extension import Server
from asgi_keepalive.servers import find

from ..support.fake_loop import in_no_time
from ..support.uvicorn import connection

wrapt: Any = import_module("wrapt")


async def calling(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return await wrapped(*args, **kwargs)


WRAPPERS: dict[str, Any] = {
    "proxy": wrapt.CallableObjectProxy,
    "wrapper": lambda call: wrapt.FunctionWrapper(call, calling),
    "partial": lambda call: wrapt.PartialCallableObjectProxy(call),
    "two": lambda call: wrapt.CallableObjectProxy(wrapt.FunctionWrapper(call, calling)),
}


@pytest.mark.parametrize("name", WRAPPERS)
@in_no_time
async def test_leads_to_the_server(name: str) -> None:
    protocol = connection()
    receive, send = WRAPPERS[name](protocol.receive), WRAPPERS[name](protocol.send)
    server = find(protocol.scope, receive, send)
    assert isinstance(server, Server)
    assert server.receive is receive  # though it says that it is a method of the protocol
    assert server.send_message is send
    assert not server.releases_calls
