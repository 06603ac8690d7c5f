"""The command: what it refuses, and that its settings are the table's."""

import logging
import tomllib
from pathlib import Path

import pytest

from otel_dynabase import cli
from otel_dynabase.commands import observe
from otel_dynabase.config import SETTINGS, Config, Dsn
from otel_dynabase.observer.settings import OBSERVER_SETTINGS, ObserverConfig, state_file
from otel_dynabase.observer.state.configured import NoStateError, dsn_of, state_of
from otel_dynabase.observer.state.database import DatabaseState
from otel_dynabase.observer.state.file import FileState

SECRET = "postgresql://ada:hunter2@db/x"


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Leave the test process's logging and environment alone."""
    monkeypatch.setattr(observe, "speak", lambda: None)
    for setting in (*SETTINGS, *OBSERVER_SETTINGS):
        monkeypatch.delenv(setting.variable, raising=False)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["observe", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_console_script_is_this_command():
    project = tomllib.loads(Path(cli.__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"otel-dynabase": "otel_dynabase.cli:main"}


def test_help_teaches_every_setting_that_may_be_an_argument(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["observe", "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    for setting in OBSERVER_SETTINGS:
        assert (f"({setting.variable})" in " ".join(said.split())) is observe.is_flag(setting)
    assert "examples:" in said
    assert "exit codes:" in said


def test_only_places_of_files_may_be_given_where_a_secret_may_be():
    flags = {setting.name for setting in (*SETTINGS, *OBSERVER_SETTINGS) if setting.secret and observe.is_flag(setting)}
    assert flags == {"directory", "observe_state"}


@pytest.mark.parametrize("flag", ["--directory", "--state"])
def test_an_address_is_refused_as_an_argument_and_not_repeated(capsys, flag):
    said = refused(capsys, flag, SECRET)
    assert "an address may contain a password: give it in OTEL_DYNABASE_" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--interval", "soon", "seconds from 0.1 to 3600"),
        ("--tells", "everything", "none, or one or more of tier_transitions, plan_changes, scale_to_zero"),
        ("--prices", "gold=3", "plan=units, separated by commas"),
        ("--prices", "free=nan", "plan=units, separated by commas"),
        ("--health", "here", "host:port, or off"),
        ("--state-table", "x; DROP TABLE y", "a table's name in lower case"),
    ],
)
def test_an_argument_that_cannot_be_used_says_what_can(capsys, flag, value, allowed):
    assert allowed in " ".join(refused(capsys, flag, value).split())


def test_without_a_directory_there_is_nothing_to_observe(caplog):
    assert cli.main(["observe"]) == 2
    assert caplog.messages == ["There is no tenant directory: set OTEL_DYNABASE_DIRECTORY, or see --help."]


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED", "OTEL_DYNABASE_ENABLED"])
def test_switched_off_is_switched_off(monkeypatch, caplog, variable):
    monkeypatch.setenv(variable, "true" if variable == "OTEL_SDK_DISABLED" else "false")
    assert cli.main(["observe", "--directory", "tenants.yaml"]) == 0
    assert "there is nothing to do" in caplog.text


def test_a_state_on_the_directorys_server_needs_one(caplog):
    assert cli.main(["observe", "--directory", "tenants.yaml", "--state", "directory"]) == 2
    assert "the directory is not on a server" in caplog.text


def test_limits_that_cannot_be_read_are_said(caplog, tmp_path):
    arguments = ["--directory", "x.yaml", "--state", str(tmp_path / "s"), "--limits", str(tmp_path / "none.yaml")]
    assert cli.main(["observe", *arguments]) == 2
    assert "OTEL_DYNABASE_OBSERVE_LIMITS=" in caplog.text


# --- settings ---------------------------------------------------------------------------------------------------------


def config(**variables):
    return ObserverConfig.load({f"OTEL_DYNABASE_OBSERVE_{name.upper()}": text for name, text in variables.items()})


def test_the_defaults_are_the_tables(caplog):
    caplog.set_level(logging.WARNING)
    loaded = config()
    assert {setting.name: getattr(loaded, setting.name) for setting in OBSERVER_SETTINGS} == {
        setting.name: setting.default for setting in OBSERVER_SETTINGS
    }
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("state", "directory", "directory"),
        ("state", "/var/lib/x.json", Path("/var/lib/x.json")),
        ("state", SECRET, Dsn(SECRET)),
        ("state_table", "metering.observer", "metering.observer"),
        ("tells", "none", frozenset()),
        ("tells", "Plan_Changes, scale_to_zero", frozenset({"plan_changes", "scale_to_zero"})),
        ("prices", "free=0, pro=2.5", {"free": 0.0, "pro": 2.5}),
        ("health", "OFF", None),
        ("health", "[::1]:80", ("::1", 80)),
    ],
)
def test_a_setting_is_read(name, text, value):
    assert getattr(config(**{name: text}), f"observe_{name}") == value


def test_secrets_are_not_shown():
    assert "hunter2" not in repr(config(state=SECRET))


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"STATE_DIRECTORY": "/var/lib/observer:/other", "XDG_STATE_HOME": "/x"}, "/var/lib/observer/observe.json"),
        ({"XDG_STATE_HOME": "/x"}, "/x/otel-dynabase/observe.json"),
        ({"XDG_STATE_HOME": "relative"}, str(Path.home() / ".local/state/otel-dynabase/observe.json")),
        ({}, str(Path.home() / ".local/state/otel-dynabase/observe.json")),
    ],
)
def test_where_the_state_is_unless_somebody_says_otherwise(environ, path):
    assert str(state_file(environ)) == path


def test_which_state(tmp_path):
    on_server = Config.load({"OTEL_DYNABASE_DIRECTORY": SECRET})
    secret = tmp_path / "dsn"
    secret.write_text(f"{SECRET}\n")
    assert isinstance(state_of(on_server, config(), {"HOME": "/x"}), FileState)
    for chosen in (config(state="directory"), config(state=SECRET), config(state_dsn_file=str(secret))):
        state = state_of(on_server, chosen, {})
        assert isinstance(state, DatabaseState)
        assert state._dsn() == SECRET
        assert "hunter2" not in state.name
    with pytest.raises(NoStateError):
        state_of(Config.load({}), config(state="directory"), {})
    assert dsn_of(Path("x.yaml"), None) is None
