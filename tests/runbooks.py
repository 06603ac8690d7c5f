"""The runbooks, taken apart: their sections, and each query that they tell somebody to run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNBOOKS = Path(__file__).resolve().parents[1] / "collector/runbooks"
SLUGS = sorted(page.stem for page in RUNBOOKS.glob("*.md") if page.stem != "index")
FENCE = re.compile(r"^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """One fenced block; `language` is promql, sql (ClickHouse), postgresql or sh."""

    slug: str
    language: str
    text: str


def page(slug: str) -> str:
    return (RUNBOOKS / f"{slug}.md").read_text()


def sections(text: str, level: str) -> dict[str, str]:
    """Return what stands under each heading of a level, `##` or `###`."""
    parts = re.split(rf"^{level} (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def queries(slug: str, text: str | None = None) -> Iterator[Query]:
    """Yield the queries of a page, or of a part of it."""
    for found in FENCE.finditer(page(slug) if text is None else text):
        yield Query(slug, found["language"], found["text"])
