"""The site of docs/: it builds without a warning, every page can be reached, and all that pages point to is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from examples.stack.process import ROOT
from examples.stack.prometheus import FEATURES, Prometheus

DOCS = ROOT / "docs"


class Page(HTMLParser):
    """What one page points to, and what can be pointed to in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.sources, self.loaded, self.anchors, self.titles = [], [], [], {""}, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id") or "")
        self.titles += tag == "h1"
        if tag in {"a", "link"} and found.get("href"):
            self.links.append(found["href"])
        if tag == "link":
            self.loaded.append(found["href"])
        if tag in {"img", "script", "source"} and found.get("src"):
            self.sources.append(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's folder, built from nothing as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "dirhtml", DOCS, folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {file: Page(file.read_text()) for file in site.rglob("*.html")}


def target(page, link):
    """Return the file that a link of a page leads to, and the anchor in it; None for a link that leaves the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return (file / "index.html" if file.is_dir() else file), unquote(parts.fragment)


def test_every_page_can_be_reached_from_the_first(site, pages):
    reached, found = set(), [site / "index.html"]
    while found:
        page = found.pop()
        if page in pages and page not in reached:
            reached.add(page)
            found += [to[0] for to in (target(page, link) for link in pages[page].links) if to]
    assert reached == set(pages)


def test_each_source_is_a_page(pages, site):
    """What the contents leave out is no page."""
    sources = {
        file.relative_to(DOCS).with_suffix("")
        for folder, _, names in os.walk(DOCS, followlinks=True)
        for name in names
        if (file := DOCS.joinpath(folder, name)).suffix == ".md" and "_build" not in file.parts
    }
    expected = {site / (source.parent if source.name == "index" else source) / "index.html" for source in sources}
    assert expected <= set(pages)
    assert all(pages[page].titles == 1 for page in expected)


def test_every_link_and_every_image_is_there(pages):
    broken = []
    for page, content in pages.items():
        for link in content.links + content.sources:
            to = target(page, link)
            if to is None:
                continue
            file, anchor = to
            known = pages[file].anchors if file in pages else {""}
            if not file.exists() or anchor not in known:
                broken.append(f"{page}: {link}")
    assert broken == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *ROOT.glob("collector/*/README.md")], ids=lambda page: page.parent.name
)
def test_every_link_of_a_readme_is_there(page):
    """They are no pages of the site, or at another place in it."""
    links = re.findall(r"\]\(((?!https?://|#)[^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_nothing_is_loaded_from_elsewhere(pages):
    """Fonts, scripts, styles and images are the site's own: it can be read without a network."""
    assert [source for page in pages.values() for source in page.sources + page.loaded if urlsplit(source).netloc] == []


# --- what the pages hand out ------------------------------------------------------------------------------------------


def test_every_alerts_runbook_is_a_page(pages, site):
    """At the address that the alert links, under the site's host."""
    rules = "".join(file.read_text() for file in ROOT.glob("collector/prometheus/*.yml"))
    paths = {urlsplit(url).path for url in re.findall(r"runbook_url: (\S+)", rules)}
    assert len(paths) > 10
    assert [path for path in paths if site.joinpath(*path.split("/"), "index.html") not in pages] == []


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not there to say what it makes of a unit"
)
@pytest.mark.parametrize("unit", sorted(ROOT.glob("collector/systemd/*.service")), ids=lambda unit: unit.stem)
def test_a_unit_is_understood_and_confines_its_service(unit, tmp_path):
    """By systemd's own score of exposure, in tenths: 100 is a service that may do everything."""
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^ExecStart=(?:.*\\\n)*.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    for look in (["verify"], ["security", "--offline=true", "--threshold=20", "--no-pager"]):
        done = subprocess.run(["systemd-analyze", *look, copy], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_unit_knows_only_what_is_there():
    """Every variable that a unit sets is one of the collector's or of the observer's."""
    known = (ROOT / "otelcol-config.yaml").read_text() + (ROOT / "docs/configuration.md").read_text()
    units = "".join(unit.read_text() for unit in ROOT.glob("collector/systemd/*.service"))
    variables = set(re.findall(r"^Environment=(\w+)=", units, re.MULTILINE))
    assert {"OTELCOL_CLICKHOUSE_PASSWORD", "OTEL_DYNABASE_DIRECTORY_DSN_FILE"} < variables
    assert [variable for variable in variables if variable not in known] == []


def test_prometheus_is_deployed_as_it_is_tested(tmp_path):
    """With the flags and the storage of the stack's; its intervals are longer, as the rules have theirs."""
    text = (DOCS / "deploy.md").read_text()
    told = yaml.safe_load(re.search(r"prometheus\.yml <<'END'\n(.*?)\nEND\n", text, re.DOTALL)[1])
    tested = Prometheus(tmp_path)._configuration()
    assert {key: told[key] for key in ("otlp", "storage")} == {key: tested[key] for key in ("otlp", "storage")}
    assert [job["job_name"] for job in told["scrape_configs"]] == [job["job_name"] for job in tested["scrape_configs"]]
    assert f"--web.enable-otlp-receiver \\\n      --enable-feature={FEATURES}" in text
