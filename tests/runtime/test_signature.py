"""Signed bundles: who may have made what runs here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edgeseg.core.bundle import Bundle, sealed
from edgeseg.core.documents import encode
from edgeseg.errors import BundleError, InputError
from edgeseg.runtime import load
from edgeseg.runtime.signature import SIGNATURE, require_signature, sign


def pair(folder: Path, name: str = "key", kind=ed25519.Ed25519PrivateKey.generate, password: bytes = b""):
    """(private, public) PEM files."""
    key = kind()
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signed_bundle_opens_and_stays_the_same_bundle(make_bundle, frames, tmp_path):
    private, public = pair(tmp_path)
    path = make_bundle()
    identity = Bundle.open(path).id
    assert sign(path, private) == path / SIGNATURE
    assert Bundle.open(path).id == identity
    with load(path, require_signature=public) as session:
        assert session(frames(1)).shape == (1, 8, 12)


def test_openssl_confirms_the_signature(make_bundle, tmp_path):
    private, public = pair(tmp_path)
    path = make_bundle()
    sign(path, private)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public]
    command += ["-in", path / "manifest.json", "-sigfile", path / SIGNATURE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Signature Verified Successfully" in done.stdout, done.stderr


def test_a_bundle_without_signature_is_refused(make_bundle, tmp_path):
    _, public = pair(tmp_path)
    with pytest.raises(BundleError, match="is not signed"):
        load(make_bundle(), require_signature=public)


def test_a_bundle_that_another_signed_is_refused(make_bundle, tmp_path):
    path = make_bundle()
    sign(path, pair(tmp_path, "other")[0])
    with pytest.raises(
        BundleError, match=r"is not the signature of this manifest by the owner of .*key-public"
    ):
        load(path, require_signature=pair(tmp_path)[1])


def test_a_manifest_that_was_written_again_with_a_fitting_digest_is_refused(make_bundle, tmp_path):
    private, public = pair(tmp_path)
    path = make_bundle()
    sign(path, private)
    changed = sealed(msgspec.structs.replace(Bundle.open(path).manifest, name="other"))
    (path / "manifest.json").write_bytes(encode(changed))
    Bundle.open(path)
    with pytest.raises(BundleError, match="is not the signature"):
        require_signature(path, public)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_without_key_is_refused(make_bundle, tmp_path, content):
    (tmp_path / "key.pem").write_bytes(content)
    path = make_bundle()
    with pytest.raises(InputError, match=r"key\.pem cannot be used as key"):
        sign(path, tmp_path / "key.pem")
    (path / SIGNATURE).write_bytes(bytes(64))
    with pytest.raises(InputError, match=r"key\.pem cannot be used as key"):
        require_signature(path, tmp_path / "key.pem")


def test_keys_of_another_kind_or_with_a_password_are_refused(make_bundle, tmp_path):
    path = make_bundle()
    curve, _ = pair(tmp_path, "curve", lambda: ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match="private Ed25519 key"):
        sign(path, curve)
    locked, _ = pair(tmp_path, "locked", password=b"secret")
    with pytest.raises(InputError, match="without password"):
        sign(path, locked)
    assert not (path / SIGNATURE).exists()
