"""Which images a step used, identified by what they show and not by their names."""

from __future__ import annotations

import msgspec

from edgeseg.errors import DataError

NEAR_DUPLICATE_BITS = 20
"""Two images whose 512-bit difference hashes differ in at most this many bits count as one.

The measurement behind the number stands in `edgeseg/datasets/hashing.py`.
"""


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image.

    Attributes:
        id: name within the dataset.
        sha256: of the decoded RGB pixels and their shape; survives re-encoding without loss.
        dhash: 512-bit difference hash as 128 hex digits; close for near-duplicates.
    """

    id: str
    sha256: str
    dhash: str


class SampleList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ordered list of images of one split of one dataset."""

    dataset: str
    split: str
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(s.id for s in self.samples)

    def overlap(self, other: SampleList) -> tuple[tuple[str, str], ...]:
        """Pairs of ids that show the same image, identical or nearly so."""
        exact = {s.sha256: s.id for s in other.samples}
        hashes = [(int(s.dhash, 16), s.id) for s in other.samples]
        pairs = []
        for sample in self.samples:
            match = exact.get(sample.sha256)
            if match is None:
                mine = int(sample.dhash, 16)
                near = (i for h, i in hashes if (mine ^ h).bit_count() <= NEAR_DUPLICATE_BITS)
                match = next(near, None)
            if match is not None:
                pairs.append((sample.id, match))
        return tuple(pairs)


def require_disjoint(first: SampleList, second: SampleList) -> None:
    """Raise DataError, naming the images, when two lists share content."""
    pairs = first.overlap(second)
    if pairs:
        shown = ", ".join(f"{a} = {b}" for a, b in pairs[:5])
        raise DataError(
            f"{len(pairs)} image(s) of {first.dataset}/{first.split} are also in "
            f"{second.dataset}/{second.split}: {shown}",
            expected="lists that share no image, not even a near-duplicate",
            hint="remove the shared images from one of the two lists",
        )
