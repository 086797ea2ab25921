"""Who made a bundle: a detached Ed25519 signature (RFC 8032) of its manifest, by the package `cryptography`.

The manifest holds the sha256 of every file, so the signature covers the whole bundle. Digests find accidents;
only a signature stops someone who writes a bundle with other files and fitting digests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseg.core.bundle import MANIFEST, Bundle
from edgeseg.core.files import read_whole
from edgeseg.core.whole import write_whole
from edgeseg.errors import BundleError, InputError, MissingDependency

SIGNATURE = "manifest.sig"
"""64 bytes: the signature of `manifest.json` as it lies there, as `openssl pkeyutl -sign -rawin` makes it."""

MOST_BYTES = 1 << 16
"""Of a key."""
_NEW_KEY = "openssl genpkey -algorithm ed25519 -out KEY.pem; openssl pkey -in KEY.pem -pubout -out PUBLIC.pem"


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle, replacing a signature that is there. Returns the file of the signature.

    Args:
        key: private Ed25519 key, PEM without password.

    Raises:
        BundleError: a bundle that is broken.
        InputError: a file that holds no such key, or a folder that cannot be written.
        MissingDependency: `cryptography` is not installed.
    """
    private = _key(key, private=True)
    Bundle.open(bundle)
    target = bundle / SIGNATURE
    try:
        write_whole(target, private.sign((bundle / MANIFEST).read_bytes()))
    except OSError as fault:
        raise InputError(f"{target} cannot be written: {fault.strerror}") from None
    return target


def require_signature(bundle: Path, public_key: Path) -> None:
    """Refuse a bundle that the owner of a key has not signed. Opening it compares its files.

    Args:
        public_key: Ed25519, PEM.

    Raises:
        BundleError: no signature, or one that does not fit the manifest and this key.
        InputError: a file that holds no such key.
        MissingDependency: `cryptography` is not installed.
    """
    public = _key(public_key, private=False)
    from cryptography.exceptions import InvalidSignature

    signature, manifest = bundle / SIGNATURE, bundle / MANIFEST
    if not signature.is_file():
        raise BundleError(
            f"{bundle} is not signed", expected=f"its signature in {SIGNATURE}", hint="`edgeseg sign BUNDLE`"
        )
    try:
        public.verify(signature.read_bytes(), manifest.read_bytes())
    except InvalidSignature:
        raise BundleError(
            f"{signature} is not the signature of this manifest by the owner of {public_key}",
            expected="a bundle as it was when that owner signed it",
            hint="get the bundle again from who signed it, and ask them for their public key",
        ) from None


def require_signed(public_key: Path | str | None, *bundles: Path | str | None) -> None:
    """`require_signature` of every bundle that was given; without a key all are welcome."""
    for bundle in bundles if public_key else ():
        if bundle:
            require_signature(Path(bundle), Path(str(public_key)))


def _key(file: Path, *, private: bool) -> Any:
    """The key in a PEM file."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ImportError:
        raise MissingDependency("cryptography", "sign", needed_for="the signature of a bundle") from None
    wanted: type = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    try:
        data = read_whole(file, most=MOST_BYTES)
        found: Any = load_pem_private_key(data, None) if private else load_pem_public_key(data)
        reason = "" if isinstance(found, wanted) else f"it holds a {type(found).__name__}"
    except InputError as fault:
        reason = fault.message
    except (ValueError, TypeError) as fault:  # TypeError: the key has a password
        reason = str(fault).partition(".")[0]
    if reason:
        kind = "a private" if private else "a public"
        raise InputError(
            f"{file} cannot be used as key: {reason}",
            expected=f"{kind} Ed25519 key, PEM without password",
            hint=f"make a pair with `{_NEW_KEY}`",
        )
    return found
