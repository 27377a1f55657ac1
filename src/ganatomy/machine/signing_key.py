"""The private key and certificates by which a user signs files, and the check of signatures; needs `cryptography`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused

PASSWORD_VARIABLE = (
    "GANATOMY_SIGN_PASSWORD"  # of an encrypted key; never an argument, which others on a machine can see
)
FEWEST_RSA_BITS = 2048  # NIST SP 800-131A; C2PA asks for the same
HASHES = {"SHA256": "SHA256", "SHA384": "SHA384", "SHA512": "SHA512"}  # MAC Algorithm of DICOM -> of `cryptography`
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}  # of C2PA by name (RFC 5480, RFC 9053)
EXPECTED = "give a PEM file with a private key of RSA or of an elliptic curve, followed by its certificate"


@dataclass(frozen=True)
class SigningKey:
    """A private key with its certificates.

    Args:
        private_key: of `cryptography`.
        chain: certificates as PEM, that of the key first.
        certificate: that of the key, as DER.
        algorithm: name of C2PA for signatures by this key, such as ``ps256``.
        owner: common name of the certificate.
    """

    private_key: Any
    chain: bytes
    certificate: bytes
    algorithm: str
    owner: str

    @property
    def is_rsa(self) -> bool:
        return self.algorithm.startswith("ps")

    def sign_rsa(self, message: bytes) -> bytes:
        """Sign a message by RSASSA-PKCS1-v1_5 with SHA-256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        signature: bytes = self.private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return signature

    def export_private_key(self) -> bytes:
        """The private key as PEM without encryption, for a library that takes it so; it is never written to a file."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PrivateFormat.PKCS8
        text: bytes = self.private_key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return text


def read_signing_key(path: Path) -> SigningKey:
    """Read a PEM file with a private key, followed by its certificate and those above it.

    Args:
        path: the file. The password of an encrypted key is in the environment variable `PASSWORD_VARIABLE`.

    Raises:
        Refused: `cryptography` is not installed, or the file has no key and certificate that belong together.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.x509.oid import NameOID
    except ModuleNotFoundError as error:
        raise Refused(
            "--sign-key needs the package cryptography; install it with: pip install 'ganatomy[sign]'"
        ) from error
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Refused(f"--sign-key {path} cannot be read ({error.strerror}); {EXPECTED}.") from error
    password = os.environ.get(PASSWORD_VARIABLE, "").encode() or None
    try:
        private_key: Any = serialization.load_pem_private_key(text, password)
    except TypeError as error:  # a password is missing, or is given for a key that has none
        raise Refused(f"--sign-key {path}: {error}; its password belongs into {PASSWORD_VARIABLE}.") from error
    except Exception as error:  # of the library, of several kinds
        wrong = f", or {PASSWORD_VARIABLE} is not its password" if password else ""
        raise Refused(f"--sign-key {path} holds no private key that can be read{wrong}; {EXPECTED}.") from error
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise Refused(f"--sign-key {path} holds a key without a certificate; {EXPECTED}.") from error
    first = certificates[0]
    if first.public_key() != private_key.public_key():
        raise Refused(f"--sign-key {path}: the first certificate is of another key; {EXPECTED}.")
    names = first.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return SigningKey(
        private_key,
        b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates),
        first.public_bytes(serialization.Encoding.DER),
        _name_algorithm(private_key, path),
        str(names[0].value) if names else "",
    )


def verify_rsa(certificate: bytes, signature: bytes, message: bytes, algorithm: str) -> bool:
    """Verify an RSA signature (RSASSA-PKCS1-v1_5) by the certificate of its key.

    Args:
        certificate: X.509, as DER; zeros may follow.
        signature: the signature.
        message: what was signed.
        algorithm: MAC Algorithm of DICOM, such as ``SHA256``.

    Raises:
        ValueError: the certificate cannot be read, its key is not RSA, or the hash is none of SHA-2.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = _load_certificate(certificate).public_key()
    if algorithm not in HASHES or not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"{algorithm} with this key is not supported")
    length = key.key_size // 8
    try:
        key.verify(signature[:length], message, padding.PKCS1v15(), getattr(hashes, HASHES[algorithm])())
    except InvalidSignature:
        return False
    return True


def describe_certificate(certificate: bytes) -> str:
    """Describe a certificate by its common name and the beginning of its SHA-256 fingerprint.

    Args:
        certificate: X.509, as DER; zeros may follow.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    found = _load_certificate(certificate)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return f"{names[0].value if names else 'nobody named'} ({found.fingerprint(hashes.SHA256()).hex()[:16]})"


def can_check_signatures() -> bool:
    """Whether `cryptography` is installed."""
    from importlib.util import find_spec

    return find_spec("cryptography") is not None


def _load_certificate(certificate: bytes) -> Any:
    """Load a certificate in a field of even length: a zero may follow its own length (ITU-T X.690, 8.1.3)."""
    from cryptography import x509

    size = 4 + int.from_bytes(certificate[2:4], "big") if certificate[1:2] == b"\x82" else len(certificate)
    return x509.load_der_x509_certificate(certificate[:size])


def _name_algorithm(private_key: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(private_key, rsa.RSAPrivateKey):
        if private_key.key_size < FEWEST_RSA_BITS:
            raise Refused(f"--sign-key {path} has {private_key.key_size} bits; RSA needs {FEWEST_RSA_BITS} or more.")
        return "ps256"
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and private_key.curve.name in CURVES:
        return CURVES[private_key.curve.name]
    raise Refused(f"--sign-key {path} has a key of a kind that is not supported; {EXPECTED}.")
