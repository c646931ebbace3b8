"""Bytes from a stranger -> the C2PA manifest in them, as c2pa-python judges it."""

from __future__ import annotations

import io
import json

from generation.cleaning import USUAL, PictureLimits, check_file
from generation.containers import JPEG_START, PNG_START
from generation.types import Signature

#: Nothing is fetched. Whether the certificate can be trusted is not judged here.
SETTINGS = {"verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False}}
#: IPTC's terms for pictures in which a model had a part.
BY_AI = ("/trainedAlgorithmicMedia", "/compositeWithTrainedAlgorithmicMedia")
MAX_SIGNER = 100


def signature_of(data: bytes, limits: PictureLimits = USUAL) -> Signature | None:
    """The manifest in *data*; None without one, or where c2pa-python is not installed.

    Raises:
        InvalidImage: It is no PNG, JPEG or WebP, or too large.
    """
    check_file(data, limits)
    if (media_type := _media_type(data)) is None:
        return None
    try:
        import c2pa
    except ImportError:
        return None
    try:
        with (
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
        ):
            state, manifest = reader.get_validation_state(), reader.get_active_manifest() or {}
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, ValueError):
        return Signature(is_valid=False)
    signed = manifest.get("signature_info") or {}
    signer = str(signed.get("common_name") or signed.get("issuer") or "")
    told = json.dumps(manifest.get("assertions"))
    return Signature(
        is_valid=state in ("Valid", "Trusted"),
        signer="".join(each for each in signer if each.isprintable())[:MAX_SIGNER],
        is_by_ai=any(f'{term}"' in told for term in BY_AI),
    )


def _media_type(data: bytes) -> str | None:
    if data.startswith(PNG_START):
        return "image/png"
    if data.startswith(JPEG_START):
        return "image/jpeg"
    return "image/webp" if data.startswith(b"RIFF") else None
