"""Parts of an alert's description that Prometheus looks up when it fires."""

from __future__ import annotations

from typing import Final

PLAN: Final = "{{ $labels.plan | title }}"
"""The plan of an alert whose series say which."""
COUNT: Final = '{{ $value | printf "%.0f" }}'
"""A number of things."""


def looked_up(query: str, shown: str, *labels: str) -> str:
    """Return what a query says, as `shown`; each `%s` in it stands for a label's value, the plan's if none is named.

    Where there is nothing, it says so.
    """
    values = " ".join(f"$labels.{label}" for label in labels or ("plan",))
    value = f"{{{{ . | first | value | {shown} }}}}"
    return f'{{{{ with printf "{query}" {values} | query }}}}{value}{{{{ else }}}}unknown{{{{ end }}}}'


def affected(metric: str) -> str:
    """Return how many different tenants of the plan a metric of trouble has counted for: one, or four hundred."""
    return looked_up(f"sum(tenants_affected{{plan='%s', metric='{metric}'}})", 'printf "%.0f"')


def first_of(query: str, most: int) -> str:
    """Return the projects that a query finds first, at most so many; `%s` in it stands for the plan."""
    found = f'printf "topk({most}, {query})" $labels.plan | query | sortByLabel "project_id"'
    return f"{{{{ range {found} }}}} {{{{ .Labels.project_id }}}}{{{{ end }}}}"
