"""An extra that is missing is named by the error."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

EXTRAS = {
    "cli": ("rich", "probe.terminal"),
    "opentelemetry": ("opentelemetry", "observers.opentelemetry"),
    "prometheus": ("prometheus_client", "observers.prometheus"),
    "redis": ("redis", "observers.shared.client"),
}
"""Those that something is imported for: what they install, and which module imports it."""

SERVERS = {"daphne", "gunicorn", "hypercorn"}
"""Their adapters are imported only when they run."""


def test_these_are_all() -> None:
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text())["project"]
    assert set(project["optional-dependencies"]) == set(EXTRAS) | SERVERS


@pytest.mark.parametrize("extra", EXTRAS)
def test_error_names_it(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, importing = EXTRAS[extra]

    class Blocked:
        @staticmethod
        def find_spec(name: str, path: object, target: object = None) -> None:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    module = f"asgi_keepalive.{importing}"
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Blocked, *sys.meta_path])
    with pytest.raises(ImportError) as raised:
        importlib.import_module(module)
    assert str(raised.value) == f"asgi-keepalive[{extra}] is needed: No module named '{package}'"
    assert raised.value.name == package
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
