"""Certificates as an authority gives them to people who sign pictures, made by tests."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def signing_chain(days=(-1, 30), key=None, purpose=ExtendedKeyUsageOID.EMAIL_PROTECTION):
    """PEM of a certificate with its authority's behind it, and PEM of its key.

    Args:
        days: First and last day on which it is valid, from today.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = key or ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(
        "Test Authority", authority_key, authority_key, (-100, 100), is_ca=True
    )
    leaf = _certificate("Fluxbot Test", key, authority_key, days, purpose=purpose)
    chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (leaf, authority))
    return chain, key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificate(name, key, authority_key, days, *, is_ca=False, purpose=None):
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Test Authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                **usage,
                digital_signature=not is_ca,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _name(common_name):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fluxbot Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
