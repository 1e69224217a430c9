"""Libraries that another one imports and hardly ever uses: imported at their first use instead."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from operator import attrgetter
from types import ModuleType
from typing import Any

from serve_app.logs import EventLogger

logger = EventLogger(__name__)

Import = Callable[[str], ModuleType]


def import_without(name: str, *libraries: str, later: Import = importlib.import_module) -> ModuleType:
    """Module ``name``, imported while ``libraries`` are :func:`deferred`; with them, if it cannot be imported so."""
    try:
        with deferred(*libraries, later=later):
            return importlib.import_module(name)
    except Exception as error:  # whatever another version of the library does at its import
        package = name.partition(".")[0]
        needed = " and ".join(libraries)
        text = f"{package} is imported with {needed}, which it needs at once: {error}"
        logger.info("library_needed_at_once", text, package=package, libraries=needed, why=str(error))
        for each in [each for each in sys.modules if each.partition(".")[0] == package]:
            del sys.modules[each]
        return importlib.import_module(name)


@contextlib.contextmanager
def deferred(*libraries: str, later: Import = importlib.import_module) -> Iterator[None]:
    """Within, an import of ``libraries`` gives stand-ins, each of which is later used as the real one.

    A library that is already imported, or that is not installed, is imported as ever.

    Args:
        libraries: names of top-level packages.
        later: imports a module of them when a stand-in is used, after the block.
    """
    finder = _Finder({each for each in libraries if each not in sys.modules and PathFinder.find_spec(each)}, later)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        finder.is_deferring = False
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Module)]:
            del sys.modules[name]


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for modules; the stand-ins ask it for the real ones."""

    def __init__(self, libraries: set[str], later: Import) -> None:
        self.is_deferring = True
        self._libraries = libraries
        self._later = later
        self._users: dict[str, set[str]] = {each: set() for each in libraries}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self._libraries:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""

    def used_at_import(self, module: str, user: str) -> None:
        """Module ``user`` made of a stand-in for something in ``module`` what is no stand-in itself."""
        self._users[module.partition(".")[0]].add(user)

    def real(self, module: str, attribute: str) -> Any:
        if self.is_deferring:
            raise ImportError(f"{module}.{attribute} is used while it is imported")
        found = attrgetter(attribute)(self._later(module))
        library = module.partition(".")[0]
        users, self._users[library] = self._users[library], set()
        for user in users:
            # Functions look names up in their module when they run, and so find what is made now.
            importlib.reload(sys.modules[user])
        return found


class _Module(ModuleType):
    """In the place of a module."""

    def __init__(self, name: str, finder: _Finder) -> None:
        super().__init__(name)
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # not there, as the import system asks
            raise AttributeError(name)
        if self._finder.is_deferring:
            return _Attribute(self._finder, self.__name__, name)
        return self._finder.real(self.__name__, name)


class _Attribute:
    """In the place of a function or a class of a module, or of an attribute of one."""

    def __init__(self, finder: _Finder, module: str, path: str) -> None:
        self._finder, self._module, self._path = finder, module, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self._path}.{name}"
        if self._finder.is_deferring:
            self._finder.used_at_import(self._module, sys._getframe(1).f_globals["__name__"])  # noqa: SLF001 - no other way
            return _Attribute(self._finder, self._module, path)
        return self._finder.real(self._module, path)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._finder.real(self._module, self._path)(*args, **options)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._finder.real(self._module, self._path))

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """As what a class is derived from: as nothing, until the class is made again."""
        if self._finder.is_deferring:
            self._finder.used_at_import(self._module, sys._getframe(1).f_globals["__name__"])  # noqa: SLF001 - no other way
            return ()
        return (self._finder.real(self._module, self._path),)
