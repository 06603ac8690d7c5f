"""Arguments of a report: what each may be is said once, in its annotation, for type checkers and at run time alike."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeAlias, get_args, get_origin, get_type_hints

from otel_dynabase import faults
from otel_dynabase.directory import valid_project_id
from otel_dynabase.probes.inbox import inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes.inbox import Tell

P = ParamSpec("P")

logger = logging.getLogger("otel_dynabase")

SHOWN = 60
"""Characters of a refused value that a warning repeats."""
MAX_TEXT = 1024
"""Characters of the longest text in a mapping of facts; longer ones are cut."""
MAX_ENTRIES = 100
"""Entries of a mapping or list of facts; further ones are left out."""
MAX_DEPTH = 4


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What an argument may be, in words and as a test."""

    allowed: str
    fits: Callable[[Any], bool]


Project: TypeAlias = Annotated[
    str, Expected("a project_id: text of 1 to 128 printable characters without spaces", valid_project_id)
]
Text: TypeAlias = Annotated[
    str, Expected("text of 1 to 128 characters", lambda value: isinstance(value, str) and 0 < len(value) <= 128)  # noqa: PLR2004  # as it says
]
Number: TypeAlias = Annotated[float, Expected("a number, not negative", _number)]
Seconds: TypeAlias = Annotated[float, Expected("seconds as a number, not negative", _number)]
Count: TypeAlias = Annotated[int, Expected("a whole number, not negative", _count)]
Share: TypeAlias = Annotated[float, Expected("a share from 0 to 1", lambda value: _number(value) and value <= 1)]
Moment: TypeAlias = Annotated[
    datetime,
    Expected(
        "a datetime with a time zone, such as datetime.now(UTC)",
        lambda value: isinstance(value, datetime) and value.utcoffset() is not None,
    ),
]
Facts: TypeAlias = Annotated[
    Mapping[str, Any],
    Expected("a mapping of names to plain values", lambda value: isinstance(value, Mapping)),
]
"""Names and plain values: text, numbers, truth values, and mappings and lists of them; others are written as text."""
Phases: TypeAlias = Annotated[
    Mapping[str, float],
    Expected(
        "a mapping of names to seconds, not negative",
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(name, str) and _number(seconds) for name, seconds in value.items())
        ),
    ),
]


def reported(function: Callable[P, Tell]) -> Callable[P, None]:
    """Make a report of a function that returns how to tell it: checked, kept until there are probes, never raising.

    What its parameters may be is in their annotations; `at`, where it has one, is the present moment unless given.
    """
    signature = inspect.signature(function)
    name = function.__name__
    expected: dict[str, tuple[Expected, bool]] = {}

    @functools.wraps(function)
    def report(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if not expected:
                expected.update(_expected(function))
            arguments = _checked(signature, expected, args, kwargs)
            inbox.put(name, function(*arguments.args, **arguments.kwargs))
        except _WrongError as wrong:
            _refuse(name, wrong)
        except Exception:
            faults.ignore("reporting")

    return report


class _WrongError(Exception):
    """An argument cannot be used: which, and the message says why."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


def _checked(
    signature: inspect.Signature,
    expected: dict[str, tuple[Expected, bool]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> inspect.BoundArguments:
    """Return the arguments as they are to be used. Raises _WrongError."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise _WrongError("", str(error)) from None
    for name, value in bound.arguments.items():
        what, optional = expected[name]
        if not (value is None and optional) and not _fits(what, value):
            allowed = what.allowed + (", or None" if optional else "")
            raise _WrongError(name, f"{name}={_excerpt(value)}: expected {allowed}")
        if isinstance(value, Mapping):
            bound.arguments[name] = plain(value)
    bound.apply_defaults()
    if "at" in signature.parameters and bound.arguments["at"] is None:
        bound.arguments["at"] = datetime.now(UTC)
    return bound


def _expected(function: Callable[..., object]) -> dict[str, tuple[Expected, bool]]:
    """Read what a function's parameters may be, and whether None is allowed, out of their annotations."""
    parameters = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    holder = type("Parameters", (), {"__annotations__": parameters})
    hints = get_type_hints(holder, function.__globals__, include_extras=True)
    return {name: _read(hint) for name, hint in hints.items()}


def _read(hint: Any) -> tuple[Expected, bool]:
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0], False
    if get_origin(hint) is Literal:
        values = get_args(hint)
        return Expected("one of " + ", ".join(values), lambda value: isinstance(value, str) and value in values), False
    first, none = get_args(hint)  # X | None
    assert none is type(None)  # noqa: S101  # how this module's callers annotate
    return _read(first)[0], True


def _fits(what: Expected, value: object) -> bool:
    try:
        return what.fits(value)
    except Exception:  # somebody's own mapping
        return False


_warned: set[tuple[str, str]] = set()


def _refuse(name: str, wrong: _WrongError) -> None:
    """Count a report that cannot be used, and say so once for each way to get it wrong."""
    inbox.refuse(name)
    if (name, wrong.argument) not in _warned:
        _warned.add((name, wrong.argument))
        logger.warning(
            "otel-dynabase: report.%s(): %s. Nothing is recorded; further ones are only counted "
            "(otel_dynabase.reports, outcome=refused).",
            name,
            wrong,
        )


def _excerpt(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # somebody's own __repr__
        text = type(value).__name__
    return text[:SHOWN] + ("…" if len(text) > SHOWN else "")


def plain(value: Any, depth: int = 0) -> Any:
    """Return a copy that can be exported: what is no plain value becomes text, what is too large is cut."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            entries = list(value.items())[:MAX_ENTRIES]
            return {str(key)[:MAX_TEXT]: plain(item, depth + 1) for key, item in entries}
        if isinstance(value, list | tuple | set | frozenset):
            return _alike([plain(item, depth + 1) for item in list(value)[:MAX_ENTRIES]])
    return str(value)[:MAX_TEXT]


def _alike(items: list[Any]) -> list[Any]:
    """Return a list of one type, as some versions of the SDK export no other: of texts, if it is none."""
    kinds = {type(item) for item in items}
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        return items
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def nanoseconds(at: datetime | None) -> int | None:
    """Return a moment as nanoseconds since the epoch."""
    return None if at is None else round(at.timestamp() * 1e6) * 1000
