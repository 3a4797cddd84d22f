"""An application for `fastapi run`, which takes nothing but a `FastAPI`."""

from __future__ import annotations

import os

from . import packages

app, seen = getattr(packages, os.environ["BETWEEN"])()
app.add_api_route("/", seen)
