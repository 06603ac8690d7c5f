"""What holds for a directory whatever its source answers."""

from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.catalog.attributes import PLAN, TIER
from otel_dynabase.directory import Directory, Tenant, valid_project_id

COLUMNS = ("project_id", "tenant_id", "plan", "tier", "database")

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
plausible = st.sampled_from([*PLAN.values, *TIER.values, "Pro", "hot ", "gold", "p1", "p2", "_other"])
junk_rows = st.lists(st.dictionaries(st.sampled_from(COLUMNS) | st.text(), plausible | junk) | junk, max_size=8)

rows = st.dictionaries(
    st.sampled_from(["p1", "p2", "p3"]),
    st.fixed_dictionaries(
        {
            "tenant_id": st.sampled_from([None, "org_1"]),
            "plan": st.sampled_from(PLAN.values),
            "tier": st.sampled_from(TIER.values),
            "database": st.sampled_from([None, "db_1", "db_2"]),
        }
    ),
)


def listed(table):
    return [{"project_id": project_id, **fields} for project_id, fields in table.items()]


@given(st.lists(rows, min_size=1, max_size=6))
def test_identity_is_kept_exactly_while_the_fields_are_equal(tables):
    answers = iter([listed(table) for table in tables])
    directory = Directory(lambda: next(answers))
    before, seen = {}, {}
    for table in tables:
        assert directory.refresh()
        now = {project_id: directory.get(project_id) for project_id in table}
        for project_id, tenant in now.items():
            assert {name: getattr(tenant, name) for name in COLUMNS[1:]} == table[project_id]
            if project_id in before:
                assert (tenant is seen[project_id]) == (table[project_id] == before[project_id])
        before, seen = table, now


@given(st.lists(rows, min_size=1, max_size=6))
def test_on_change_is_called_exactly_for_tables_that_differ(tables):
    answers = iter([listed(table) for table in tables])
    calls = []
    directory = Directory(lambda: next(answers), on_change=lambda: calls.append(None))
    for before, table in zip([{}, *tables], tables, strict=False):
        calls.clear()
        directory.refresh()
        assert bool(calls) == (table != before)


@given(junk_rows)
def test_no_row_raises_or_gives_a_tenant_that_may_not_be(content):
    directory = Directory(lambda: content)
    assert directory.refresh()
    stats = directory.stats()
    assert stats.entries + stats.rejected == len(content)
    for project_id, tenant in directory._table.tenants.items():
        assert directory.get(project_id) is tenant
        assert valid_project_id(tenant.project_id)
        assert tenant.project_id == project_id
        assert tenant.plan in PLAN.values
        assert tenant.tier in TIER.values
        assert tenant.tenant_id is None or isinstance(tenant.tenant_id, str)
        assert tenant.database is None or directory.project_of(tenant.database) in {None, project_id}


@given(junk)
def test_no_answer_raises(answer):
    directory = Directory(lambda: answer)
    directory.refresh()
    assert directory.stats().entries <= 1


@given(junk | plausible)
def test_no_lookup_raises(value):
    directory = Directory(lambda: [{"project_id": "p1"}])
    directory.refresh()
    tenant = directory.get(value)
    assert isinstance(tenant, Tenant)
    assert valid_project_id(tenant.project_id)
    directory.project_of(value)


@given(st.text(max_size=150))
def test_a_valid_project_id_can_be_sent_and_read_anywhere(text):
    if valid_project_id(text):
        assert text.encode().decode() == text
        assert text.split() == [text]
        assert 1 <= len(text) <= 128
