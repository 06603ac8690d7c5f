"""One table of settings: what is read, what is refused and how, and what is documented."""

import logging
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from otel_dynabase.config import SETTINGS, SHOWN, Config, Dsn, table

SECRET = "postgresql://ada:hunter2@db/tenants"


def test_the_dataclass_has_exactly_the_settings_of_the_table():
    assert [field.name for field in fields(Config)] == [setting.name for setting in SETTINGS]


def test_an_empty_environment_gives_the_defaults_and_no_warning(caplog):
    config = Config.load({})
    assert {setting.name: getattr(config, setting.name) for setting in SETTINGS} == {
        setting.name: setting.default for setting in SETTINGS
    }
    assert not caplog.records


def test_without_an_environment_the_process_own_is_read(monkeypatch):
    monkeypatch.setenv("OTEL_DYNABASE_MAX_TENANTS", "7")
    assert Config.load().max_tenants == 7


def test_a_config_does_not_change():
    with pytest.raises(FrozenInstanceError):
        Config.load({}).enabled = False


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("ENABLED", "OFF", "enabled", False),
        ("ENABLED", " Yes ", "enabled", True),
        ("TRUST_BAGGAGE", "1", "trust_baggage", True),
        ("DIRECTORY", "/etc/tenants.yaml", "directory", Path("/etc/tenants.yaml")),
        ("DIRECTORY", "tenants.json", "directory", Path("tenants.json")),
        ("DIRECTORY", SECRET, "directory", Dsn(SECRET)),
        ("DIRECTORY", "POSTGRES://db/x", "directory", Dsn("POSTGRES://db/x")),
        ("DIRECTORY_DSN_FILE", "/run/secrets/dsn", "directory_dsn_file", Path("/run/secrets/dsn")),
        ("DIRECTORY_QUERY", " SELECT 1 ", "directory_query", "SELECT 1"),
        ("DIRECTORY_INTERVAL", "0.1", "directory_interval", 0.1),
        ("DIRECTORY_INTERVAL", "86400", "directory_interval", 86_400.0),
        ("METRICS", "SemConv", "metrics", frozenset({"semconv"})),
        ("METRICS", "semconv, dynabase", "metrics", frozenset({"semconv", "dynabase"})),
        ("MAX_TENANTS", "1000000", "max_tenants", 1_000_000),
        ("EVENT_QUEUE", "64", "event_queue", 64),
        ("EVENT_WINDOW", "0", "event_window", 0.0),
        ("SHUTDOWN_TIMEOUT", "2.5", "shutdown_timeout", 2.5),
        ("MAX_TENANTS", "", "max_tenants", 1000),
        ("MAX_TENANTS", "  ", "max_tenants", 1000),
    ],
)
def test_a_variable_is_read(variable, text, name, value, caplog):
    config = Config.load({f"OTEL_DYNABASE_{variable}": text})
    assert getattr(config, name) == value
    assert type(getattr(config, name)) is type(value)
    assert not caplog.records


def test_a_database_pattern_is_compiled():
    pattern = Config.load({"OTEL_DYNABASE_DATABASE_PATTERN": r"db_(?P<project_id>\w+)"}).database_pattern
    assert pattern.fullmatch("db_proj_1")["project_id"] == "proj_1"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ENABLED", "maybe"),
        ("TRUST_BAGGAGE", "2"),
        ("DIRECTORY_INTERVAL", "0.01"),
        ("DIRECTORY_INTERVAL", "nan"),
        ("DIRECTORY_INTERVAL", "inf"),
        ("DIRECTORY_INTERVAL", "soon"),
        ("DATABASE_PATTERN", "("),
        ("DATABASE_PATTERN", "db_(.*)"),
        ("DATABASE_PATTERN", "(?P<project_id>x){99999999999999}"),
        ("METRICS", "dynabase,prometheus"),
        ("METRICS", ","),
        ("MAX_TENANTS", "0"),
        ("MAX_TENANTS", "1e3"),
        ("MAX_TENANTS", "9" * 5000),
        ("EVENT_QUEUE", "-1"),
        ("EVENT_WINDOW", "3601"),
        ("SHUTDOWN_TIMEOUT", "\udcff\n"),
    ],
)
def test_a_bad_value_is_one_warning_and_the_default(variable, text, caplog):
    """The warning names the variable, the value, what is allowed and what is used; on one line."""
    variable = f"OTEL_DYNABASE_{variable}"
    setting = next(setting for setting in SETTINGS if setting.variable == variable)
    assert getattr(Config.load({variable: text}), setting.name) == setting.default
    (record,) = caplog.records
    message = record.getMessage()
    assert (record.name, record.levelno) == ("otel_dynabase", logging.WARNING)
    assert message.startswith(f"{variable}={text[:SHOWN]!r}")
    assert setting.kind.allowed in message
    assert "default" in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "text",
    [
        "mysql://ada:hunter2@db/tenants",
        "ada:hunter2@db/tenants",
        "ada:hunt/er2@db/tenants",
        "host=db user=ada password=hunter2",
    ],
)
def test_a_mistyped_dsn_is_not_taken_for_a_path_and_not_shown(text, caplog):
    assert Config.load({"OTEL_DYNABASE_DIRECTORY": text}).directory is None
    assert len(caplog.records) == 1
    assert "hunt" not in caplog.text


@pytest.mark.parametrize("text", [r"C:\users\ada@corp\tenants.yaml", "k8s=prod/tenants.yaml", "/a b/ä.yml"])
def test_a_strange_path_is_still_a_path(text):
    assert Config.load({"OTEL_DYNABASE_DIRECTORY": text}).directory == Path(text)


def test_a_dsn_is_not_printed():
    config = Config.load({"OTEL_DYNABASE_DIRECTORY": SECRET})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in f"{config.directory} {config.directory!r}"


def test_keyword_arguments_win_over_the_environment(caplog):
    environ = {"OTEL_DYNABASE_MAX_TENANTS": "5", "OTEL_DYNABASE_EVENT_WINDOW": "9"}
    config = Config.load(environ, max_tenants=6, event_window=None, metrics=["semconv"], shutdown_timeout=1)
    assert (config.max_tenants, config.event_window, config.shutdown_timeout) == (6, 9.0, 1.0)
    assert config.metrics == {"semconv"}
    assert not caplog.records


def test_a_keyword_hides_a_bad_variable(caplog):
    assert Config.load({"OTEL_DYNABASE_MAX_TENANTS": "many"}, max_tenants="6").max_tenants == 6
    assert not caplog.records


def test_a_bad_keyword_is_named_with_its_variable(caplog):
    assert Config.load({}, max_tenants=True).max_tenants == 1000
    (record,) = caplog.records
    assert record.getMessage().startswith("max_tenants (OTEL_DYNABASE_MAX_TENANTS)='True'")


def test_unknown_keywords_are_one_warning(caplog):
    Config.load({}, max_tenant=1, colour="red")
    (record,) = caplog.records
    assert "colour, max_tenant." in record.getMessage()
    assert "max_tenants" in record.getMessage()


def test_a_directory_may_be_the_applications_own_object():
    class Own:
        def load(self):
            return []

    own = Own()
    assert Config.load({}, directory=own).directory is own
    assert Config.load({}, directory=own.load).directory == own.load


class Hostile:
    """Raises whatever is done with it."""

    def _refuse(self, *_):
        raise ZeroDivisionError

    __repr__ = __str__ = __iter__ = __int__ = __float__ = __fspath__ = __bool__ = __eq__ = __le__ = _refuse
    __hash__ = None


@pytest.mark.parametrize(
    "value",
    [Hostile(), b"\xff", [], {}, float("nan"), 10**5000, re.compile(b"(?P<project_id>)")],
    ids=["hostile", "bytes", "list", "dict", "nan", "huge", "bytes pattern"],
)
def test_a_value_that_fits_nowhere_is_a_warning_for_each_setting(value, caplog):
    config = Config.load({}, **{setting.name: value for setting in SETTINGS})
    assert len(caplog.records) == len(SETTINGS)
    assert repr(config) == repr(Config.load({}))


def test_the_markdown_table_has_a_row_for_each_setting():
    lines = table().splitlines()
    assert len(lines) == 2 + len(SETTINGS)
    assert {line.count(" | ") for line in lines[2:]} == {3}
    assert all(f"`{setting.variable}`" in line for setting, line in zip(SETTINGS, lines[2:], strict=True))
    assert "| `OTEL_DYNABASE_METRICS` | `dynabase,semconv` |" in table()
