"""Content credentials: a C2PA manifest, signed with the operator's certificate.

It binds to a picture's bytes that a model made it, with which software, and from which pictures
(C2PA specification 2.2, "Actions"). ``c2pa-python`` writes and signs it; nothing is fetched, and
nothing is asked but the time stamp server that the operator may have named.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from bot.config import ConfigError
from bot.provenance import MAP, VERSION, Facts, Provenance, SourceType
from bot.sections import ENVIRONMENT, ProvenanceSettings

MISSING = (
    "provenance.certificate needs the package c2pa-python: install it with pip install -e .[c2pa]"
)
#: Nothing is fetched while a manifest is signed or read, and no thumbnails make files larger.
#: Whether readers trust the certificate is theirs to say.
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
}


class SignatureFailed(OSError):
    """A picture cannot be signed, and so is not stored, as on a disk that fails."""


class Credentials:
    """Signs pictures. Blocking; threads may share it.

    Args:
        certificate: PEM of the certificate and of those that it is signed with, its own first.
        private_key: PEM of its key, in PKCS#8.
        algorithm: ``es256``, ``ps256`` or ``ed25519``.
        timestamp_url: Server of RFC 3161 time stamps; None without one.
    """

    def __init__(
        self,
        certificate: bytes,
        private_key: bytes,
        algorithm: str,
        timestamp_url: str | None = None,
    ) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._algorithm = algorithm
        self._timestamp_url = timestamp_url

    def sign(self, data: bytes, media_type: str, facts: Facts) -> bytes:
        """*data* with a signed manifest.

        Raises:
            SignatureFailed: The certificate or its key will not do, has expired, or the time
                stamp server does not answer.
        """
        import c2pa

        signed = io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo(
                alg=self._algorithm.encode(),
                sign_cert=self._certificate,
                private_key=self._private_key,
                ta_url=self._timestamp_url.encode() if self._timestamp_url else None,
            )
            with (
                c2pa.Context.from_dict(SETTINGS) as context,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(manifest(facts), context) as builder,
            ):
                for number, path in enumerate(facts.inputs):
                    with path.open("rb") as file:
                        builder.add_ingredient(ingredient(facts, number), "image/png", file)
                builder.sign(signer, media_type, io.BytesIO(data), signed)
        except c2pa.C2paError as error:
            raise SignatureFailed(f"the picture cannot be signed: {error}") from error
        return signed.getvalue()


def manifest(facts: Facts) -> dict[str, Any]:
    """The manifest for *facts*, as `c2pa.Builder` takes it."""
    action: dict[str, Any] = {
        "action": "c2pa.created",
        "digitalSourceType": str(facts.source),
        "softwareAgent": {"name": facts.model or "fluxbot", "version": VERSION},
    }
    if facts.source is not SourceType.MADE and facts.inputs:
        # What is changed was there before: its first action opens it.
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["picture-0"]}}
        actions = [opened, {**action, "action": "c2pa.edited"}]
    else:
        actions = [action]
        if facts.inputs:
            ids = [f"picture-{number}" for number in range(len(facts.inputs))]
            action["parameters"] = {"ingredientIds": ids}
    return {
        "claim_generator_info": [{"name": "fluxbot", "version": VERSION}],
        "title": str(facts.request.get("job", "picture")),
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def ingredient(facts: Facts, number: int) -> dict[str, Any]:
    """Picture *number* (from 0) that was drawn from, as `c2pa.Builder` takes it."""
    is_parent = facts.source is not SourceType.MADE and number == 0
    return {
        "title": "attached picture",
        "label": f"picture-{number}",
        "relationship": "parentOf" if is_parent else "inputTo",
    }


def credentials(settings: ProvenanceSettings, environ: Mapping[str, str]) -> Credentials | None:
    """What *settings* sign pictures with; None without a certificate.

    Raises:
        ConfigError: Certificate or key cannot be read, or no picture can be signed with them.
    """
    if settings.certificate is None:
        if settings.private_key:
            raise ConfigError("provenance.private_key is set, but no provenance.certificate")
        return None
    try:
        import c2pa  # noqa: F401
    except ImportError:
        raise ConfigError(MISSING) from None
    certificate = _read("provenance.certificate", settings.certificate)
    made = Credentials(
        certificate, _key(settings, environ), settings.algorithm, settings.timestamp_url
    )
    image = Image.new("RGB", (16, 16))
    try:
        # The library judges its own signature, as readers will: key, purpose and dates.
        Provenance(sign=made.sign).png(image, MAP)
    except SignatureFailed as error:
        raise ConfigError(
            f"no picture can be signed with provenance.certificate {settings.certificate}:"
            f" {error.__cause__}; docs/provenance.md says which certificates will do"
        ) from None
    return made


def provenance(settings: ProvenanceSettings, environ: Mapping[str, str] = os.environ) -> Provenance:
    """The marks that *settings* give to pictures.

    Raises:
        ConfigError: As `credentials`.
    """
    signing = credentials(settings, environ)
    return Provenance(settings.prompt, None if signing is None else signing.sign)


def provenance_verdict(settings: ProvenanceSettings) -> tuple[bool, str]:
    """Whether pictures can be marked as configured, and a sentence about it."""
    try:
        signing = credentials(settings, os.environ)
    except ConfigError as error:
        return False, str(error)
    words = "with" if settings.prompt else "without"
    signed = "not signed" if signing is None else f"signed with {settings.certificate}"
    return True, f"pictures are marked as made by AI, {words} the words, and {signed}"


def _key(settings: ProvenanceSettings, environ: Mapping[str, str]) -> bytes:
    where = settings.private_key
    if where is None:
        raise ConfigError("provenance.certificate needs its key: set provenance.private_key")
    if where.startswith(ENVIRONMENT):
        variable = where.removeprefix(ENVIRONMENT)
        if not environ.get(variable):
            raise ConfigError(f"provenance.private_key names {variable}, which is not set")
        return environ[variable].encode()
    return _read("provenance.private_key", Path(where))


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key} = {str(path)!r} cannot be read: {error.strerror}") from None
