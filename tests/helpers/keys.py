"""Private keys with certificates for tests of signatures, made anew each time."""

import datetime


def make_key(path, kind="rsa", issued=True, password=None, bits=2048):
    """Write a PEM file with a key, its certificate and, if `issued`, that of the authority that issued it.

    Returns:
        The path.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = rsa.generate_private_key(65537, bits) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    authority = ec.generate_private_key(ec.SECP256R1()) if issued else key
    start = datetime.datetime(2026, 1, 1)

    def name(text):
        parts = ((NameOID.ORGANIZATION_NAME, "Tests"), (NameOID.COMMON_NAME, text))
        return x509.Name([x509.NameAttribute(*part) for part in parts])

    def make_certificate(subject, public_key, issuer, is_authority):
        made = x509.CertificateBuilder(name(issuer), name(subject), public_key, x509.random_serial_number())
        made = made.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36_500))
        usage = x509.KeyUsage(not is_authority, False, False, False, False, is_authority, is_authority, False, False)
        made = made.add_extension(x509.BasicConstraints(is_authority, None), True).add_extension(usage, True)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        made = made.add_extension(above, False)
        if not is_authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    form = serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, form, locked)
    text += make_certificate("Synthesis", key.public_key(), "Authority" if issued else "Synthesis", False)
    if issued:
        text += make_certificate("Authority", authority.public_key(), "Authority", True)
    path.write_bytes(text)
    return path
