"""Checking from outside that a server offers the extension as `docs/extension.md` describes it.

`application` runs in the server, and does what it is told. Everything else runs beside it.
"""
