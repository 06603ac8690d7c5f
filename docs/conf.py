"""The site of docs/: Sphinx, Markdown by MyST, the look by furo. `make docs` builds it; a warning is an error.

Pages are reached as `runbooks/query-latency-slo/`, without an ending (the builder `dirhtml`): as the alerts link them.
Links to files of the repository that are no pages become downloads, so that each link is checked here and works on a
forge too.
"""

# ruff: noqa: INP001  # Sphinx reads this file, nobody imports it
from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "otel-dynabase"
release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]  # Pygments knows PromQL, but no recorded name with a colon

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"otel-dynabase {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False


def know_real_places(_app: Sphinx, env: BuildEnvironment, _names: list[str]) -> None:
    """Let links to pages that stand elsewhere in the repository, and are symbolic links here, find them.

    Sphinx resolves a link's target before it looks for the page (9.0, `BuildEnvironment.relfn2path`).
    """
    for name in env.found_docs:
        env.project._path_to_docname[env.doc2path(name).resolve()] = name


def setup(app: Sphinx) -> None:
    """Extend Sphinx."""
    app.connect("env-before-read-docs", know_real_places)
