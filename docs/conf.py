"""The settings of the documentation, which `tox run -e docs` builds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

METADATA = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = METADATA["name"]
author = METADATA["authors"][0]["name"]
copyright = f"2026, {author}"
release = version = METADATA["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# A link to a heading that is not there is a warning, and a warning is an error.
myst_heading_anchors = 4
nitpicky = True
# Other projects' types are not looked up, as a build needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!asgi_keepalive).*")]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Docstrings have code in single backticks, as comments and commits have.
default_role = "code"

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sourcelink = False


def setup(app: Any) -> None:
    """Let pages link to files of the repository that are no pages."""
    app.connect("source-read", link_to_repository)


def link_to_repository(app: Any, name: str, source: list[str]) -> None:
    """Make links that lead out of `docs/` absolute; in the repository they work as they are."""
    source[0] = source[0].replace("](../", f"]({METADATA['urls']['Source']}/blob/main/")
