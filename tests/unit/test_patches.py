"""Patches: beneath whatever others wrap, all of a table or none of it, and the exact originals at the end."""

import sys
from types import ModuleType

import pytest
import wrapt

from otel_dynabase.adapters.patches import Patch, Patches

LIBRARY = "a_library_to_patch"


@pytest.fixture
def library(monkeypatch):
    module = ModuleType(LIBRARY)

    class Base:
        def inherited(self):
            return ["inherited"]

    class Thing(Base):
        def method(self):
            """Say so."""
            return ["original"]

        def other(self):
            return ["other"]

        @classmethod
        def make(cls, *, of="nothing"):
            """Make one."""
            return [cls.__name__, of]

    module.Base, module.Thing, module.function = Base, Thing, lambda: ["function"]
    monkeypatch.setitem(sys.modules, LIBRARY, module)
    return module


def saying(word):
    def wrap(original):
        def replacement(*args, **kwargs):
            return [word, *original(*args, **kwargs)]

        return replacement

    return wrap


def patch(path, word="ours", **options):
    return Patch(LIBRARY, path, saying(word), **options)


def theirs(wrapped, instance, args, kwargs):
    return ["theirs", *wrapped(*args, **kwargs)]


def test_methods_functions_and_inherited_methods_are_replaced_and_given_back(library):
    before = [dict(vars(owner)) for owner in (library, library.Thing, library.Base)]
    patches = Patches()
    patches.apply([patch("Thing.method"), patch("Thing.inherited"), patch("function")])
    thing = library.Thing()
    assert (thing.method(), thing.inherited()) == (["ours", "original"], ["ours", "inherited"])
    assert library.function() == ["ours", "function"]
    assert library.Base().inherited() == ["inherited"]
    patches.revert()
    assert [dict(vars(owner)) for owner in (library, library.Thing, library.Base)] == before


def test_a_replacement_has_the_originals_name_and_words(library):
    Patches().apply([patch("Thing.method")])
    assert (library.Thing.method.__name__, library.Thing.method.__doc__) == ("method", "Say so.")


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_leave_first", [True, False])
def test_others_may_come_and_go_in_any_order(library, ours_first, ours_leave_first):
    original = vars(library.Thing)["method"]
    patches, steps = Patches(), []
    apply_ours = lambda: patches.apply([patch("Thing.method")])  # noqa: E731
    apply_theirs = lambda: wrapt.wrap_function_wrapper(LIBRARY, "Thing.method", theirs)  # noqa: E731
    for step in (apply_ours, apply_theirs) if ours_first else (apply_theirs, apply_ours):
        step()
    assert library.Thing().method() == ["theirs", "ours", "original"]

    def leave_theirs():
        library.Thing.method = vars(library.Thing)["method"].__wrapped__

    leave = (patches.revert, leave_theirs) if ours_leave_first else (leave_theirs, patches.revert)
    leave[0]()
    assert library.Thing().method() == ["theirs", "original"] if ours_leave_first else ["ours", "original"]
    leave[1]()
    assert vars(library.Thing)["method"] is original
    assert steps == []


def test_several_layers_of_others_stay_around_ours(library):
    patches = Patches()
    for _ in range(3):
        wrapt.wrap_function_wrapper(LIBRARY, "Thing.method", theirs)
    patches.apply([patch("Thing.method")])
    assert library.Thing().method() == ["theirs"] * 3 + ["ours", "original"]
    patches.revert()
    assert library.Thing().method() == ["theirs"] * 3 + ["original"]


def test_a_table_that_does_not_fit_leaves_nothing_of_itself_and_all_of_the_others(library):
    patches = Patches()
    patches.apply([patch("Thing.method")])
    with pytest.raises(AttributeError, match=r"no Thing\.missing"):
        patches.apply([patch("Thing.other"), patch("Thing.missing")])
    assert library.Thing().other() == ["other"]
    assert library.Thing().method() == ["ours", "original"]
    patches.revert()
    assert library.Thing().method() == ["original"]


def test_a_wrapper_that_fails_leaves_nothing(library):
    def fail(original):
        raise LookupError

    patches = Patches()
    with pytest.raises(LookupError):
        patches.apply([patch("Thing.other"), Patch(LIBRARY, "Thing.method", fail)])
    assert library.Thing().other() == ["other"]


def test_optional_patches_are_passed_over(library):
    patches = Patches()
    patches.apply([patch("Thing.missing", optional=True), patch("Thing.method")])
    assert library.Thing().method() == ["ours", "original"]
    assert not hasattr(library.Thing, "missing")


def test_what_somebody_replaced_is_not_ours_any_more(library):
    patches = Patches()
    patches.apply([patch("Thing.method")])
    library.Thing.method = replaced = lambda self: ["somebody"]
    patches.revert()
    assert vars(library.Thing)["method"] is replaced


def test_two_tables_of_ours_on_one_function_unwind_in_order(library):
    original, patches = vars(library.Thing)["method"], Patches()
    patches.apply([patch("Thing.method", "first")])
    patches.apply([patch("Thing.method", "second")])
    assert library.Thing().method() == ["second", "first", "original"]
    patches.revert()
    assert vars(library.Thing)["method"] is original


def test_reverting_twice_and_applying_again_work(library):
    original, patches = vars(library.Thing)["method"], Patches()
    for _ in range(2):
        patches.apply([patch("Thing.method")])
        patches.revert()
        patches.revert()
        assert vars(library.Thing)["method"] is original


def test_a_class_method_stays_one(library):
    """It is bound to the class that it is called on, and is what it was for whoever looks."""
    before, patches = vars(library.Thing)["make"], Patches()
    patches.apply([patch("Thing.make")])

    class Special(library.Thing):
        @classmethod
        def make(cls, **options):
            return ["special", *super().make(**options)]

    assert library.Thing.make(of="a") == ["ours", "Thing", "a"]
    assert Special.make() == ["special", "ours", "Special", "nothing"]
    assert library.Thing.make.__doc__ == "Make one."
    assert library.Thing.make.__name__ == "make"
    patches.revert()
    assert vars(library.Thing)["make"] is before


def test_a_class_method_beneath_a_wrapper(library):
    patches = Patches()
    wrapt.wrap_function_wrapper(
        library, "Thing.make", lambda wrapped, _, args, kwargs: ["theirs", *wrapped(*args, **kwargs)]
    )
    patches.apply([patch("Thing.make")])
    assert library.Thing.make() == ["theirs", "ours", "Thing", "nothing"]
    patches.revert()
    assert library.Thing.make() == ["theirs", "Thing", "nothing"]
