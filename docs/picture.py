"""Draw `demo.svg`, the output of the demo: `python docs/picture.py`."""

from __future__ import annotations

import subprocess
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
CHARACTER, LINE, MARGIN = 7.8, 18, 16
"""Sizes in pixels; a character of the font below is 0.6 times as wide as it is high."""

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}">
<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>
<g fill="#e6e6ef" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13">
"""


def drawn(text: str) -> str:
    """Return a picture of a terminal with a text."""
    lines = text.expandtabs().splitlines()
    width = max(map(len, lines)) * CHARACTER + 2 * MARGIN
    picture = HEAD.format(width=width, height=len(lines) * LINE + 2 * MARGIN)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            left = len(line) - len(line.lstrip())
            picture += (
                f'<text x="{MARGIN + left * CHARACTER:.1f}" y="{MARGIN + number * LINE - 5}" '
                f'textLength="{(len(line.rstrip()) - left) * CHARACTER:.1f}" '
                f'xml:space="preserve">{escape(line.strip())}</text>\n'
            )
    return picture + "</g>\n</svg>\n"


if __name__ == "__main__":
    demo = HERE.parent / "examples" / "demo.py"
    output = subprocess.run([sys.executable, demo], check=True, capture_output=True, text=True)
    (HERE / "demo.svg").write_text(drawn(output.stdout))
