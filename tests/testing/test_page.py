"""The page on testing runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import asgi_keepalive

ROOT = Path(__file__).parents[2]


def test_every_block_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    app, *tests = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "main.py").write_text(app)
    (tmp_path / "test_main.py").write_text("\n\n".join(tests))
    (tmp_path / "project").mkdir()
    asgi = (
        (ROOT / "examples" / "channels_app.py").read_text().replace("\napp = ", "\napplication = ")
    )
    (tmp_path / "project" / "asgi.py").write_text(asgi)
    package = str(Path(asgi_keepalive.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "test_main.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    count = len(re.findall(r"def test_", page))
    assert re.search(rf"^=+ {count} passed in", run.stdout, re.MULTILINE), run.stdout + run.stderr
