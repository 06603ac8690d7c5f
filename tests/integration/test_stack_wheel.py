"""The wheel that users install: the SQL is in it, and how a page looks."""

import json
import subprocess
import sys
import zipfile

from examples.stack.process import ROOT
from otel_dynabase.clickhouse import migrations, roles

STYLE = (ROOT / "otel_dynabase" / "output" / "page.css").read_text()
ASK = """
import json
from otel_dynabase.clickhouse import migrations, roles
print(json.dumps([str(migrations.directory()), [m.checksum for m in migrations.known()], roles.roles()]))
"""


def test_an_installed_package_migrates_to_the_same_schema_as_a_checkout(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    code = f"import sys; sys.path.insert(0, {str(installed)!r})\n{ASK}"
    asked = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    directory, checksums, statements = json.loads(asked.stdout)
    assert directory == str(installed / "otel_dynabase" / "clickhouse" / "sql")
    assert checksums == [migration.checksum for migration in migrations.known()]
    assert tuple(statements) == roles.roles()
    assert (installed / "otel_dynabase" / "output" / "page.css").read_text() == STYLE
