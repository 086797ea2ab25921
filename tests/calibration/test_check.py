"""What `check` finds in a list, and what it says about the pixel contract of a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgeseg.calibration import source as calibrate_source
from edgeseg.calibration.check import check
from edgeseg.calibration.contract import contract_test, variants
from edgeseg.calibration.network import open_network
from edgeseg.calibration.select import select
from edgeseg.core.bundle import Bundle, sealed
from edgeseg.core.calibration import CalibrationList, Entry
from edgeseg.core.documents import encode
from edgeseg.core.model_spec import ClassInfo
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.datasets import Split
from edgeseg.errors import BundleError, DataError

SIZE = (16, 24)
CLASSES = tuple(ClassInfo(name, (0, 0, 0)) for name in ("red", "green", "blue"))


@dataclass(frozen=True)
class Blocks:
    """Random blocks of pure colours that the `colors` network solves; `val/a` shows what `train/c` shows."""

    name: str = "blocks"
    classes: tuple[ClassInfo, ...] = CLASSES
    ignore_index: int | None = None
    blue: bool = True
    dim: str = ""

    def splits(self) -> tuple[str, ...]:
        return ("train", "val")

    def split(self, name: str) -> Split:
        return Split(
            dataset=self.name,
            name=name,
            ids=tuple("abcdef" if name == "train" else "ax"),
            classes=self.classes,
            ignore_index=None,
            read_image=lambda i: (
                np.eye(3, dtype=np.uint8)[self._label(name, i)] * (100 if i in self.dim else 200)
            ),
            read_label=lambda i: self._label(name, i),
        )

    def _label(self, split: str, identity: str) -> np.ndarray:
        seed = ord("c") if (split, identity) == ("val", "a") else ord(identity)
        coarse = np.random.default_rng(seed).integers(0, 3 if self.blue else 2, (4, 6), dtype=np.uint8)
        return coarse.repeat(4, axis=0).repeat(4, axis=1)


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(calibrate_source, "open_dataset", lambda name, root=None: Blocks())
    return Blocks()


def write(path, split: Split, ids: str) -> None:
    samples = {s.id: s for s in split.sample_list().samples}
    entries = tuple(Entry(name, samples[name].sha256) for name in ids)
    CalibrationList(dataset=split.dataset, split=split.name, entries=entries).write(path)


def test_a_good_list(data, make_bundle, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "abd")
    result = check(tmp_path / "list.txt", data="synthetic-streets", bundle=str(make_bundle()))
    assert result.exit_code == 0 and not result.problems and not result.overlap
    assert result.held_out == "blocks/train" and result.held_out_images == 3
    assert [c.images for c in result.classes] == [3, 3, 3]
    assert sum(c.share for c in result.classes) == pytest.approx(1)
    assert sum(b.share for b in result.brightness) == pytest.approx(1)
    assert result.contract.fits and result.contract.verdict.startswith("the contract fits: mIoU 100.0")
    assert result.saturation[0].outside == 0 and result.saturation[0].by == "Conv 'conv'"
    assert result.disjoint_from == ("blocks/val",)


def test_an_image_that_validates_too_exits_2(data, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "abc")
    result = check(tmp_path / "list.txt", data="synthetic-streets")
    assert result.overlap == (("c", "blocks/val/a"),)
    assert result.exit_code == 2 and "also validate: c = blocks/val/a" in result.problems[0]


def test_an_image_of_another_list_exits_2(data, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "ab")
    write(tmp_path / "other.txt", data.split("train"), "bd")
    result = check(tmp_path / "list.txt", data="synthetic-streets", not_in=[str(tmp_path / "other.txt")])
    assert result.exit_code == 2 and [mine for mine, _ in result.overlap] == ["b"]


def test_a_list_of_another_dataset_is_refused(data, tmp_path):
    split = replace(data.split("train"), dataset="camvid", name="sunny")
    write(tmp_path / "list.txt", split, "ab")
    with pytest.raises(DataError, match="of the dataset 'camvid', the images are of 'blocks'"):
        check(tmp_path / "list.txt", data="synthetic-streets")


def test_a_contract_that_does_not_fit_exits_2(data, make_bundle, monkeypatch, tmp_path):
    """The network comes as an ONNX file that says nothing of its colours."""
    monkeypatch.setattr("edgeseg.datasets.open_dataset", lambda name, root=None: data)
    write(tmp_path / "list.txt", data.split("train"), "abd")
    contract = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "color": "bgr"}
    model = ModelChoice(name=str(make_bundle() / "graph.onnx"), preprocess=contract)
    result = check(tmp_path / "list.txt", data="synthetic-streets", model=model)
    assert result.exit_code == 2
    assert "--set color=rgb" in result.problems[0] and "100.0" in result.problems[0]


def test_labels_score_a_network_that_has_a_class_more(data, make_bundle, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "abd")
    bundle = make_bundle(classes=(*CLASSES[:3], ClassInfo("void", (1, 1, 1))))
    result = check(tmp_path / "list.txt", data="synthetic-streets", bundle=str(bundle))
    assert result.contract.labelled and not any("cannot score" in note for note in result.notes)


def test_labels_of_other_classes_are_set_aside_and_a_note_says_so(data, make_bundle, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "abd")
    bundle = make_bundle(classes=CLASSES[:2])
    result = check(tmp_path / "list.txt", data="synthetic-streets", bundle=str(bundle))
    assert not result.contract.labelled
    assert any("labels of 3 classes cannot score a semantic network of 2" in note for note in result.notes)


def test_repetitions_missing_classes_and_missing_brightness_are_advice(tmp_path):
    place = tmp_path / "frames"
    place.mkdir()
    split = replace(Blocks(blue=False), name="frames").split("train")
    for name, factor in (("a", 1.0), ("b", 1.0), ("bright", 1.25), ("dark", 0.2)):
        image = split.image("abcdef".index("a" if name == "bright" else name[0]))
        Image.fromarray((image * factor).astype(np.uint8)).save(place / f"{name}.png")
    chosen = calibrate_source.open_source("", str(place), "")
    samples = {s.id: s for s in chosen.sample_list().samples}
    entries = tuple(Entry(n, samples[n].sha256) for n in ("a.png", "b.png", "bright.png"))
    CalibrationList(dataset="frames", split="images", entries=entries).write(tmp_path / "list.txt")
    result = check(tmp_path / "list.txt", images=str(place))
    assert result.exit_code == 0
    assert result.duplicates == (("bright.png", "a.png"),)
    assert any("bright.png = a.png" in text for text in result.advice)
    assert any("mean brightness of 0-32, 100% of the held-out" in text for text in result.advice)
    assert any("--not-in" in note for note in result.notes)


def test_a_class_that_no_image_shows_is_named(monkeypatch, tmp_path):
    dataset = Blocks(blue=False)
    monkeypatch.setattr(calibrate_source, "open_dataset", lambda name, root=None: dataset)
    write(tmp_path / "list.txt", dataset.split("train"), "ab")
    result = check(tmp_path / "list.txt", data="synthetic-streets")
    assert any("no image shows blue" in text for text in result.advice)


def test_values_outside_the_ranges_of_the_list_are_counted(make_bundle, monkeypatch, tmp_path):
    dataset = Blocks(dim="ab")
    monkeypatch.setattr(calibrate_source, "open_dataset", lambda name, root=None: dataset)
    write(tmp_path / "list.txt", dataset.split("train"), "ab")
    result = check(tmp_path / "list.txt", data="synthetic-streets", bundle=str(make_bundle()))
    (worst,) = result.saturation
    assert worst.outside == pytest.approx(1 / 3)
    assert worst.high == pytest.approx(100 / 255) and worst.held_high == pytest.approx(200 / 255)
    assert any("outside the range of the list" in text for text in result.advice)


def test_what_the_list_is_compared_with(data, tmp_path):
    write(tmp_path / "all.txt", data.split("train"), "abdefc")
    assert any("--held-out" in note for note in check(tmp_path / "all.txt", data="synthetic-streets").notes)
    given = {"data": "synthetic-streets", "held_out": "synthetic-streets:val"}
    assert check(tmp_path / "all.txt", **given).held_out_images == 2
    assert check(tmp_path / "all.txt", **given, held_out_limit=1).held_out_images == 1
    write(tmp_path / "val.txt", data.split("val"), "ax")
    result = check(tmp_path / "val.txt", data="synthetic-streets")
    assert result.held_out == "blocks/train" and result.exit_code == 2


def test_a_changed_image_of_a_folder_is_refused(tmp_path):
    place = tmp_path / "frames"
    place.mkdir()
    for index, name in enumerate("ab"):
        Image.fromarray(Blocks().split("train").image(index)).save(place / f"{name}.png")
    path = tmp_path / "list.txt"
    select(images=str(place), count=2, output=str(path))
    assert check(path, images=str(place)).images == 2
    Image.fromarray(Blocks().split("train").image(2)).save(place / "b.png")
    with pytest.raises(DataError, match=r"1 of 2 listed images were changed.*b\.png"):
        check(path, images=str(place))
    (place / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 listed images are missing: b\.png"):
        check(path, images=str(place))


def test_a_constant_image_in_a_list_exits_2(tmp_path):
    place = tmp_path / "frames"
    place.mkdir()
    Image.fromarray(np.full((16, 24, 3), 9, np.uint8)).save(place / "a.png")
    (sample,) = calibrate_source.open_source("", str(place), "").sample_list().samples
    entries = (Entry("a.png", sample.sha256),)
    CalibrationList(dataset="frames", split="images", entries=entries).write(tmp_path / "list.txt")
    result = check(tmp_path / "list.txt", images=str(place))
    assert result.exit_code == 2 and "one constant colour: a.png" in result.problems[0]


def test_a_bundle_without_its_plain_graph_is_refused(data, make_bundle, tmp_path):
    write(tmp_path / "list.txt", data.split("train"), "ab")
    bundle = make_bundle()
    manifest = Bundle.open(bundle).manifest
    (bundle / "manifest.json").write_bytes(encode(sealed(msgspec.structs.replace(manifest, graph=""))))
    with pytest.raises(BundleError, match="keeps no plain graph"):
        check(tmp_path / "list.txt", data="synthetic-streets", bundle=str(bundle))


@pytest.fixture
def tested(make_bundle):
    """(contract as stated, network's bias, labels?) -> the test of a network trained on RGB in 0-1."""

    def run(contract: Preprocess, bias=(0.0, 0.0, 0.0), split=None):
        bundle = make_bundle(bias=bias)
        network = open_network(str(bundle), None, "", SIZE, trust_file=False, progress=lambda *_: None)
        network = replace(network, spec=msgspec.structs.replace(network.spec, preprocess=contract))
        if any(bias):
            network.graph.graph.initializer[1].raw_data = np.array(bias, np.float32).tobytes()
        return contract_test(network, split or Blocks().split("train"), lambda *_: None)

    return run


PLAIN = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3)


def test_swapped_colours_are_found_out_with_the_setting_that_mends_them(tested):
    result = tested(msgspec.structs.replace(PLAIN, color="bgr"))
    assert not result.fits
    assert "swapping colours would give 100.0 (--set color=rgb)" in result.verdict


def test_a_wrong_range_is_found_out_with_the_setting_that_mends_it(tested):
    """A bias that only pixels in 0-1 and above outweigh."""
    result = tested(msgspec.structs.replace(PLAIN, scale=1 / 25500), bias=(0.0, 0.5, 0.0))
    assert not result.fits and "--set scale=" in result.verdict and "100.0" in result.verdict


def test_the_right_contract_fits_and_says_what_swapping_would_cost(tested):
    result = tested(PLAIN)
    assert result.fits and "mIoU 100.0 on these images; swapping colours would give" in result.verdict
    assert result.trials[0].agreement == 100 and result.trials[0].score == 100


def test_a_doubt_without_labels_is_advice(make_bundle, tmp_path):
    """A linear network is surer of larger pixels: certainty alone condemns nothing."""
    (tmp_path / "frames").mkdir()
    for index, name in enumerate("ab"):
        Image.fromarray(Blocks().split("train").image(index)).save(tmp_path / "frames" / f"{name}.png")
    given = {"images": str(tmp_path / "frames")}
    select(**given, count=2, output=str(tmp_path / "list.txt"))
    result = check(tmp_path / "list.txt", **given, bundle=str(make_bundle()))
    assert result.exit_code == 0
    assert any("the contract is in doubt" in text for text in result.advice)


def test_without_labels_there_are_no_scores(tested):
    split = replace(Blocks().split("train"), classes=())
    result = tested(PLAIN, split=split)
    assert not result.labelled and result.verdict.startswith("without labels")
    assert all(trial.score is None for trial in result.trials)


def test_no_reading_of_the_pixels_is_tried_twice():
    for contract in (Preprocess(), PLAIN, msgspec.structs.replace(PLAIN, color="bgr")):
        tried = [c for _, _, c in variants(contract)]
        assert len({(c.color, c.affine()) for c in tried}) == len(tried) == 10
