"""What a converted model is made of, and the folder that it is: both towers, a tokenizer and a description.

::

    FOLDER/converted.json               name, digests, sizes: see :class:`ConvertedModel`
    FOLDER/image.xml, image.bin         the image tower, uint8 views to features of length one
    FOLDER/text.xml, text.bin           the text tower, token ids to features of length one
    FOLDER/tokenizer.json               prompts to token ids, in the form of the library ``tokenizers``
    FOLDER/agreements/*.json            how far it agrees with the model it is made of; not part of the model
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from serve_app.domain import ModelError, ModelIdentity
from serve_app.models.file_digests import digests
from serve_app.models.source import CONVERTED_FILE

Precision = Literal["bf16", "int8"]
"""Of the image tower. ``bf16`` is stored in float32, and computed in that where a processor does not multiply bf16."""

TextCleaning = Literal["lower", "whitespace", "canonicalize"]

IMAGE_TOWER = "image.xml"
TEXT_TOWER = "text.xml"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What decides what a converted model computes; versions as installed where it was made.

    ``model_digest`` is that of the weights. ``calibration`` is the name of the views that it was quantised with, under
    the key that records and digests have had from the first. It and ``nncf`` are empty unless the precision is
    ``int8``.
    ``schema`` is raised when :mod:`serve_app.models.openvino.export` comes to make another model of the same.
    """

    model_digest: str
    precision: Precision
    calibration: str
    openvino: str
    nncf: str
    schema: int = 3

    @property
    def digest(self) -> str:
        """sha256 (hex): the identity of the converted model, which is another one than the model it is made of."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """What a folder says of the model in it.

    ``text_cleaning`` is how prompts are cleaned before they are tokenized, by open_clip's names; ``files`` has the
    sha256 (hex) of each file by name.
    """

    name: str
    conversion: Conversion
    image_size_px: int
    logit_scale: float
    notice: str | None
    text_cleaning: TextCleaning
    files: Mapping[str, str]

    @property
    def identity(self) -> ModelIdentity:
        """The converted model's own digest, under the name of the model that it is made of."""
        return ModelIdentity(
            self.name,
            self.conversion.digest,
            self.image_size_px,
            self.notice,
            derived_from=self.conversion.model_digest,
        )

    def write(self, folder: Path) -> None:
        """Put the description into ``folder``."""
        (folder / CONVERTED_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


_READER = TypeAdapter(ConvertedModel)


def read_converted(folder: Path) -> ConvertedModel:
    """What ``folder`` says of itself, once all its files are found to be whole.

    Raises:
        ModelError: it is no converted model, or of another version of this program, or a file is missing or damaged.
    """
    try:
        converted = _READER.validate_json((folder / CONVERTED_FILE).read_bytes(), strict=True, extra="forbid")
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder} holds no converted model of this version: convert again") from error
    if converted.conversion.schema != Conversion.__dataclass_fields__["schema"].default:
        raise ModelError(f"{folder} was converted by another version of Pictwarden: convert again")
    if digests(folder, CONVERTED_FILE) != converted.files:
        raise ModelError(f"{folder} holds a converted model with missing or damaged files: copy it, or convert, again")
    return converted
