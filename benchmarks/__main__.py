"""``python -m benchmarks``: lists the commands; ``python -m benchmarks NAME`` runs one, as ``make bench-NAME`` does."""

from __future__ import annotations

import ast
import signal
import sys
from importlib import import_module
from pathlib import Path

import typer


def commands() -> dict[str, str]:
    """The first line of each module of this package that has a function ``bench``, by the module's name."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        module = ast.parse(file.read_text("utf-8"))
        if any(isinstance(each, ast.FunctionDef) and each.name == "bench" for each in module.body):
            found[file.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def main() -> None:
    """Run the command that the first argument names."""
    known = commands()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in known:
        width = max(map(len, known))
        print("\n".join(f"{each.ljust(width)}  {does}" for each, does in known.items()))
        raise SystemExit(0 if name == "--help" else f"no benchmark is called {name}")
    # What a command has started ends with it: its blocks are left as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # The module under its own name, so that processes of its own can import what they are sent.
    command = typer.Typer(add_completion=False)
    command.command()(import_module(f"benchmarks.{name}").bench)
    del sys.argv[1]
    command(prog_name=f"python -m benchmarks {name}")


if __name__ == "__main__":
    main()
