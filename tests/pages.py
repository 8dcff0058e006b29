"""The examples of pages, as they stand there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def examples(*page):
    """The Python examples of a page, named by the parts of its path, in order."""
    return re.findall(r"```python\n(.*?)```", ROOT.joinpath(*page).read_text(encoding="utf-8"), re.DOTALL)
