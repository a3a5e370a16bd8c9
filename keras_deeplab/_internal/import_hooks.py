"""Calling something once another package is imported, without importing it."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable


def when_imported(package: str, callback: Callable[[], object]) -> None:
    """Calls a function now if a package is imported, else right after it will be."""
    if package in sys.modules:
        callback()
    else:
        sys.meta_path.insert(0, _Finder(package, callback))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one package as the other finders do, and removes itself."""

    def __init__(self, package: str, callback: Callable[[], object]):
        self.package = package
        self.callback = callback

    def find_spec(self, name, path=None, target=None) -> importlib.machinery.ModuleSpec | None:
        if name != self.package:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_call(module):
                execute(module)
                self.callback()

            spec.loader.exec_module = execute_and_call  # type: ignore[method-assign]
        return spec
