"""What all who speak share is light: reading it loads no server."""

import subprocess
import sys

import pytest

SERVERS = ("fastapi", "starlette", "uvicorn", "ray", "torch", "open_clip", "PIL", "av")


@pytest.mark.parametrize("module", ["serve_app.wire", "deployments.haproxy.rules"])
def test_reading_it_loads_no_server(module: str) -> None:
    source = f"import sys, {module}; print(*sorted(set({SERVERS!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
