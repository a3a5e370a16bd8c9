"""Functions that run when a package is imported."""

import importlib
import importlib.util
import sys

import pytest

from keras_deeplab._internal.import_hooks import around_import, when_imported


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Name of a package that is not imported yet; it notes each time that it runs."""
    (tmp_path / "hooked.py").write_text("import events\nevents.found.append('run')\n")
    (tmp_path / "events.py").write_text("found = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield "hooked"
    for name in ("hooked", "events"):
        sys.modules.pop(name, None)


def events():
    return importlib.import_module("events").found


def test_a_function_runs_after_the_import_once(package):
    finders = list(sys.meta_path)
    when_imported(package, lambda: events().append("called"))
    assert events() == []
    module = importlib.import_module(package)
    assert events() == ["run", "called"] and sys.meta_path == finders
    importlib.reload(module)
    assert events() == ["run", "called", "run"]


def test_a_function_runs_now_when_the_package_is_imported(package):
    importlib.import_module(package)
    when_imported(package, lambda: events().append("called"))
    assert events() == ["run", "called"]


def test_looking_for_the_package_does_not_use_up_the_hook(package):
    when_imported(package, lambda: events().append("called"))
    for _ in range(3):
        assert importlib.util.find_spec(package).origin.endswith("hooked.py")
    assert events() == []
    importlib.import_module(package)
    assert events() == ["run", "called"]


def test_hooks_of_the_same_package(package):
    """The last one is the outermost; each runs once."""

    def around(execute):
        events().append("before")
        execute()
        events().append("after")

    when_imported(package, lambda: events().append("first"))
    around_import(package, around)
    when_imported(package, lambda: events().append("last"))
    assert importlib.util.find_spec(package)
    importlib.import_module(package)
    assert events() == ["before", "run", "first", "after", "last"]


def test_an_import_that_failed_is_tried_again(package, tmp_path):
    """For example after Ctrl+C in a notebook."""
    path = tmp_path / "hooked.py"
    content = path.read_text()
    path.write_text("raise KeyboardInterrupt")
    when_imported(package, lambda: events().append("called"))
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(package)
    assert events() == []
    path.write_text(content)
    importlib.invalidate_caches()
    importlib.import_module(package)
    assert events() == ["run", "called"]


def test_a_package_that_is_not_there():
    finders = list(sys.meta_path)
    try:
        when_imported("no_such_package", lambda: pytest.fail("called"))
        assert importlib.util.find_spec("no_such_package") is None
        with pytest.raises(ModuleNotFoundError, match="no_such_package"):
            importlib.import_module("no_such_package")
        assert importlib.import_module("json") and importlib.util.find_spec("xml.dom")
    finally:
        sys.meta_path[:] = finders
