"""Calling something when another package is imported, without importing it."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable


def when_imported(package: str, callback: Callable[[], object]) -> None:
    """Calls a function now if a package is imported, else right after it will be."""

    def execute_and_call(execute: Callable[[], None]) -> None:
        execute()
        callback()

    if package in sys.modules:
        callback()
    else:
        around_import(package, execute_and_call)


def around_import(package: str, around: Callable[[Callable[[], None]], None]) -> None:
    """Lets a function import a package, which is not imported yet, when it will be.

    Args:
        package: Name of the package.
        around: Function that calls its argument, which imports the package.
    """
    sys.meta_path.insert(0, _Finder(package, around))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one package as the other finders do, and removes itself when it was imported."""

    def __init__(self, package: str, around: Callable[[Callable[[], None]], None]):
        self.package = package
        self.around = around

    def find_spec(self, name, path=None, target=None) -> importlib.machinery.ModuleSpec | None:
        if name != self.package:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                self.around(lambda: execute(module))
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
