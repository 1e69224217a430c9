"""Names of modules: a reader who has seen one is not led to its neighbour."""

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("serve_app", "deployments", "benchmarks", "tools")


def alike(name: str) -> set[str]:
    """The same word in the plural, or as what is being done."""
    stem = name.removesuffix("e")
    return {f"{name}s", f"{name}es", f"{name}ing", f"{stem}ing", f"{name}{name[-1]}ing", f"{name.removesuffix('y')}ies"}


def test_no_two_modules_of_a_folder_differ_by_an_ending() -> None:
    folders: dict[Path, set[str]] = defaultdict(set)
    for room in ROOMS:
        for each in (ROOT / room).rglob("*"):
            if each.suffix == ".py" or (each / "__init__.py").is_file():
                folders[each.parent].add(each.stem)
    pairs = [
        (folder.relative_to(ROOT), name, other)
        for folder, names in folders.items()
        for name in names
        for other in names & alike(name)
    ]
    assert pairs == []
