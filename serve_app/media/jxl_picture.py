"""The pixels of a JPEG XL, by libjxl (through pillow-jxl-plugin's decoder).

The plugin itself decodes all pixels while it opens a file, before anyone could ask how many there are; shows one frame
of an animation and says nothing of the others; and opens a JPEG that a file carries for its reconstruction, which need
not be the picture that the file shows. So only its decoder is used, on the bare codestream, after the header was read
(:mod:`serve_app.media.parsers.jxl`).
"""

from __future__ import annotations

from PIL import Image

from serve_app.media.parsers.jxl import JxlHeader

_PREMULTIPLIED_MODES = {"RGBA": "RGBa", "LA": "La"}


def decode_codestream(codestream: bytes, header: JxlHeader) -> Image.Image:
    """The pixels, upright: libjxl applies the orientation.

    Raises:
        RuntimeError, ValueError: not a whole codestream, or pixels of a kind that Pillow has no mode for.
    """
    from pillow_jxl import Decoder  # optional, and missed at start: see decoder_plugins.py

    try:
        _, found, pixels, icc_profile, _ = Decoder(num_threads=0)(codestream)
    except Exception:
        raise
    except BaseException as error:
        # What panics in Rust arrives here as an exception that is no Exception, to end the process. It is one file's.
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("the decoder gave up") from None
    mode = "F" if found.mode == "F;16" else found.mode
    if header.is_premultiplied and mode in _PREMULTIPLIED_MODES:
        picture = Image.frombytes(_PREMULTIPLIED_MODES[mode], (found.width, found.height), pixels).convert(mode)
    else:
        picture = Image.frombytes(mode, (found.width, found.height), pixels)
    if icc_profile:
        picture.info["icc_profile"] = bytes(icc_profile)
    return picture
