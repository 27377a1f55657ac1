"""Content credentials: signed C2PA manifests in PNG, TIFF and JPEG; needs `c2pa-python` (C2PA specification 2.2)."""

import io
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ganatomy.errors import Refused
from ganatomy.imaging.marking import VOCABULARY, parse_source
from ganatomy.machine.durable import new_file
from ganatomy.machine.signing_key import SigningKey

MEDIA_TYPES = {
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
OFFLINE = {  # nothing is fetched from a network, and no small copy of the picture is added
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
BOX_NAMES = (b"jumb", b"c2pa")  # of the boxes that hold a manifest (ISO 19566-5)
UNTRUSTED = "signingCredential.untrusted"  # no list of trusted authorities is used here: it would be another's choice
ACTIONS = "c2pa.actions"  # begins the label of the assertion that tells what was done
CREATED = "c2pa.created"


class Credentials(NamedTuple):
    """What the manifest of a picture says, and whether its signature fits the file.

    Args:
        problems: codes of C2PA of what is wrong; empty if the signature fits.
        signer: common name and issuer of the certificate.
        source: a term of IPTC's Digital Source Type; empty if none is stated.
    """

    problems: tuple[str, ...]
    signer: str
    source: str


def is_installed() -> bool:
    """Whether manifests can be made and checked here."""
    return find_spec("c2pa") is not None


def check_installed() -> None:
    """Check that manifests can be made.

    Raises:
        Refused: `c2pa-python` is not installed.
    """
    if not is_installed():
        raise Refused(
            "--sign-key for pictures needs the package c2pa-python; install it with: pip install 'ganatomy[sign]'"
        )


def sign_picture(path: Path, key: SigningKey, source: str) -> None:
    """Replace a picture by one with a manifest; its pixels and its other metadata stay as they are.

    Args:
        path: PNG, TIFF or JPEG.
        key: the key of who says so.
        source: term of IPTC's Digital Source Type.

    Raises:
        Refused: the certificate is not of a kind that C2PA accepts.
    """
    import c2pa

    software = {"name": "ganatomy", "version": version("ganatomy")}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    action = {"action": CREATED, "digitalSourceType": VOCABULARY + source, "softwareAgent": software, "when": now}
    manifest = {
        "claim_generator_info": [software],
        "assertions": [{"label": f"{ACTIONS}.v2", "data": {"actions": [action]}}],
    }
    signed = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(key.algorithm, key.chain, key.export_private_key(), None)
        context = c2pa.Context(c2pa.Settings.from_dict(OFFLINE))
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest, context) as builder:
            builder.sign(signer, MEDIA_TYPES[path.suffix.lower()], io.BytesIO(path.read_bytes()), signed)
    except c2pa.C2paError as error:
        raise Refused(
            f"--sign-key: C2PA does not accept this key and certificate ({error}); the certificate needs the extended"
            " key usage emailProtection or documentSigning."
        ) from error
    with new_file(path) as temporary:
        temporary.write_bytes(signed.getvalue())


def has_credentials(content: bytes) -> bool:
    """Whether the bytes of a picture seem to hold a manifest."""
    return all(name in content for name in BOX_NAMES)


def read_credentials(content: bytes, suffix: str) -> Credentials | None:
    """Read and check the manifest of a picture; None if it has none. Needs `is_installed`.

    Args:
        content: the file.
        suffix: of its name, such as ``.png``.
    """
    import c2pa

    context = c2pa.Context(c2pa.Settings.from_dict(OFFLINE))
    try:
        with c2pa.Reader(MEDIA_TYPES[suffix.lower()], io.BytesIO(content), context=context) as reader:
            manifest = reader.get_active_manifest() or {}
            results = (reader.get_validation_results() or {}).get("activeManifest", {})
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        return Credentials((str(error).splitlines()[0][:160],), "", "")
    problems = tuple(one["code"] for one in results.get("failure", ()) if one["code"] != UNTRUSTED)
    about = manifest.get("signature_info", {})
    signer = ", ".join(str(about[name]) for name in ("common_name", "issuer") if about.get(name))
    return Credentials(problems, signer, _find_source(manifest))


def _find_source(manifest: dict[str, Any]) -> str:
    """The source type that the manifest states for the creation of the picture."""
    for assertion in manifest.get("assertions", ()):
        if str(assertion.get("label", "")).startswith(ACTIONS):
            for action in assertion.get("data", {}).get("actions", ()):
                if action.get("action") == CREATED:
                    return parse_source(str(action.get("digitalSourceType", "")))
    return ""
