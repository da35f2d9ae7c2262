"""A package that imports its modules on use, and yet registers its classes with Keras.

`keras.models.load_model` knows a class of ours by its registration alone: Keras 3.15 imports no
module that a file names, unless it is one of its own. So a lazy package must still import its
modules before anything is loaded: at once where Keras is there, else right after Keras.
"""

import importlib
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

Attributes = tuple[Callable[[str], Any], Callable[[], list[str]]]


def import_on_use(package: str, names: Collection[str], modules: Sequence[str]) -> Attributes:
    """Makes the `__getattr__` and the `__dir__` of a package whose names are imported on use.

    Args:
        package: Name of the package.
        names: Its public names; its subpackages need no mention.
        modules: Names of the modules that have them.

    Returns:
        The two functions, as PEP 562 wants them.
    """

    def get(name: str) -> Any:
        value = None if name.startswith("_") else _found(package, name, names, modules)
        if value is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return value

    def listed() -> list[str]:
        return sorted({*names, *vars(sys.modules[package])})

    return get, listed


def _found(package: str, name: str, names: Collection[str], modules: Sequence[str]) -> Any:
    if name in names:
        homes = (importlib.import_module(module) for module in modules)
        return next((getattr(home, name) for home in homes if hasattr(home, name)), None)
    if find_spec(f"{package}.{name}") is not None:
        return importlib.import_module(f"{package}.{name}")
    return None


def import_after(trigger: str, package: str, modules: Sequence[str]) -> None:
    """Imports modules of a package right after another module; now, if that is there already.

    Args:
        trigger: Name of the module to wait for.
        package: Name of the package.
        modules: Names of the modules to import.
    """

    def import_all() -> None:
        for module in modules:
            importlib.import_module(module)

    if sys.modules.get(trigger) is not None:
        import_all()
    else:
        sys.meta_path.insert(0, _Watch(trigger, package, import_all))


class _Watch(MetaPathFinder):
    """Finds nothing itself: it looks on while others do, until the trigger is imported.

    The trigger may be imported by a module of the package, half way through. Importing what is
    built upon that module would fail then, so it waits for the outermost one to be done.
    """

    def __init__(self, trigger: str, package: str, then: Callable[[], None]) -> None:
        self._trigger = trigger
        self._package = package
        self._then = then
        self._passing: set[str] = set()
        self._under_way = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        watched = name == self._trigger or name.startswith(f"{self._package}.")
        if not watched or name in self._passing:
            return None
        self._passing.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._passing.remove(name)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Loader) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._under_way += 1
            try:
                execute(module)
            finally:
                self._under_way -= 1
            self._done()

        loader.exec_module = exec_module  # type: ignore[method-assign]

    def _done(self) -> None:
        if self._under_way == 0 and sys.modules.get(self._trigger) is not None and self in sys.meta_path:
            sys.meta_path.remove(self)
            self._then()
