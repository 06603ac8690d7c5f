"""How a benchmark ends that keeps promises: one line of JSON, what is broken, and the exit code."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def conclude(found: dict[str, Any], mistakes: Iterable[str]) -> int:
    """Print the figures as JSON, and each broken promise to standard error; return 1 if there is one."""
    print(json.dumps(found))
    wrong = list(mistakes)
    for mistake in wrong:
        print(mistake, file=sys.stderr)
    return 1 if wrong else 0
