"""The architecture's promises, read out of the import statements."""

import ast
from pathlib import Path

import pytest

import otel_dynabase

PACKAGE = Path(otel_dynabase.__file__).parent
LAYERS = (
    ("catalog",),
    ("faults", "version", "config"),
    ("directory",),
    ("tenant",),
    ("store",),
    ("producer",),
    ("events",),
    ("spans",),
    ("probes",),
    ("adapters",),
    ("background",),
    ("instrumentor",),
    ("observer",),
    ("clickhouse",),
    ("doctor",),
    ("history",),
    ("output",),
    ("commands",),
    ("cli",),
)
"""From the top: a module imports only from layers above its own, or from its own package."""
LAYER = {name: position for position, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
LAYERED = [module for module in MODULES if module.parts[0] in LAYER]


def imports(module):
    """Return every module that one imports, wherever in it: dotted names; `from a import b` counts as a.b."""
    tree = ast.parse((PACKAGE / module).with_suffix(".py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module):
    return [name.split(".")[1] for name in imports(module) if name.startswith("otel_dynabase.")]


@pytest.mark.parametrize("module", LAYERED, ids=str)
def test_a_module_imports_only_from_layers_above_its_own(module):
    own = LAYER[module.parts[0]]
    wrong = [name for name in ours(module) if LAYER.get(name, own) > own]
    beside = [name for name in ours(module) if LAYER.get(name) == own and name != module.parts[0]]
    assert (wrong, beside) == ([], [])


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] == "adapters"], ids=str)
def test_an_adapter_knows_neither_opentelemetry_nor_metrics(module):
    """Official instrumentation is a library like any other: its module is patched by name, never imported."""
    wrong = [name for name in imports(module) if name.startswith(("opentelemetry", "otel_dynabase.catalog"))]
    assert wrong == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] == "catalog"], ids=str)
def test_the_catalogue_is_pure_data(module):
    allowed = {"__future__", "dataclasses", "typing", "collections", "otel_dynabase"}
    assert {name.split(".")[0] for name in imports(module)} <= allowed


def test_no_module_is_called_after_nothing():
    assert not {module.name for module in MODULES} & {"utils", "helpers", "common", "manager", "misc"}


def test_every_module_that_is_layered_is_in_a_layer():
    """A new top-level module is placed by whoever adds it; what comes below the instrumentor is free."""
    below = {"__init__", "__main__", "report", "render", "py"}
    assert {module.parts[0] for module in MODULES} - set(LAYER) <= below
