"""ONNX Runtime: found, and asked for sessions. The one module that imports it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from serve_app.domain import ModelError
from serve_app.host.extras import how_to_install
from serve_app.logs import EventLogger
from serve_app.models.cpu_threads import count_cpu_threads

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = EventLogger(__name__)

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where passes are computed: on CUDA, or on the CPU with ``threads``."""

    is_cuda: bool
    threads: int

    @classmethod
    def for_device(cls, model: str, device: str, cpu_threads: int | None) -> Runtime:
        """What ``device`` (``auto``, ``cpu`` or ``cuda``) means for the installed library.

        Raises:
            ModelError: ONNX Runtime is not installed, or is one without CUDA where that is asked for.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"the classifier {model} needs the extra 'nsfw', and {error.name} cannot be imported: "
                f"{how_to_install('nsfw')}, on every node that holds a scorer"
            ) from error
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        has_cuda = _CUDA in onnxruntime.get_available_providers()
        if device == "cuda" and not has_cuda:
            raise ModelError(
                f"model.device is cuda, and the installed ONNX Runtime computes {model} on the CPU alone: install "
                "onnxruntime-gpu in place of onnxruntime, or set model.device to auto"
            )
        return cls(has_cuda and device != "cpu", count_cpu_threads(cpu_threads))

    def tried(self, model: str, file: Path, device: str) -> Runtime:
        """This runtime, if it can open ``file``; for ``auto``, the one on the CPU where CUDA does not start.

        Whether there is a GPU, and all that CUDA needs, the library says only when it opens a model.

        Raises:
            ModelError: ``device`` is ``cuda``, and CUDA does not start.
        """
        if not self.is_cuda:
            return self
        try:
            self.open(file)
        except ModelError as error:
            if device == "cuda":
                raise
            text = f"device auto: {model} runs on the CPU: {error}"
            logger.warning("model_on_cpu", text, model=model, why=str(error))
            return replace(self, is_cuda=False)
        return self

    def open(self, file: Path) -> InferenceSession:
        """A session for a model.

        Raises:
            ModelError: it cannot be loaded, or not onto the device.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Threads that wait for work sleep: decoding needs the cores (docs/adr/0017 has what spinning costs).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Memory goes back after a pass: kept, that of the largest batch stays for good, 310 MB with open-nsfw.
        options.enable_cpu_mem_arena = False
        providers = [_CUDA, _CPU] if self.is_cuda else [_CPU]
        try:
            # Its own way to fall back prints to standard output, which belongs to whoever reads `--json`.
            session = onnxruntime.InferenceSession(str(file), options, providers=providers, enable_fallback=False)
        except Exception as error:  # of the runtime's own kinds, one for each status of its library
            if self.is_cuda:
                raise _no_cuda(str(error)) from error
            raise ModelError(f"ONNX Runtime cannot load {file}: {error}") from error
        if self.is_cuda and _CUDA not in session.get_providers():
            raise _no_cuda("its own log line says why")
        return session


def _no_cuda(why: str) -> ModelError:
    return ModelError(
        f"ONNX Runtime cannot start CUDA ({why}): see that this machine has a GPU, its driver, CUDA and cuDNN, or set "
        "model.device to cpu"
    )
