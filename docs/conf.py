"""The site of docs/: Sphinx, Markdown by MyST, the look by furo. `make docs` builds it; a warning is an error.

Pages are reached as `runbooks/query-latency-slo/`, without an ending (the builder `dirhtml`): as the alerts link them.
Links to files of the repository that are no pages become downloads, so that each link is checked here and works on a
forge too.
"""

# ruff: noqa: INP001  # Sphinx reads this file, nobody imports it
from otel_dynabase.version import __version__

project = "otel-dynabase"
release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"

myst_heading_anchors = 3

html_theme = "furo"
html_title = f"otel-dynabase {release}"
html_copy_source = False
html_show_copyright = False
