"""A bundle that was tampered with is not opened."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from small_bundles import write

from edgeseg.core.bundle import Bundle, EngineRecord, FileEntry, manifest_digest, settings_key
from edgeseg.errors import BundleError


@pytest.fixture
def bundle(tmp_path) -> Path:
    return write(tmp_path / "net")


def tamper(bundle: Path, change) -> None:
    """Rewrite the manifest, digest included."""
    file = bundle / "manifest.json"
    data = json.loads(file.read_bytes())
    change(data)
    file.write_text(json.dumps({**data, "digest": manifest_digest(data)}))


def test_a_bundle_lists_every_file_with_size_and_hash(bundle):
    files = Bundle.open(bundle).manifest.files
    assert set(files) == {"graph.onnx", "engine/model.bin"}
    assert files["graph.onnx"] == FileEntry(5, hashlib.sha256(b"graph").hexdigest())


def test_the_id_is_the_digest_of_the_manifest_and_stays_when_copied(bundle, tmp_path):
    opened = Bundle.open(bundle)
    fields = json.loads((bundle / "manifest.json").read_bytes())
    del fields["digest"]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert opened.id == hashlib.sha256(text.encode()).hexdigest()
    shutil.copytree(bundle, tmp_path / "copy")
    assert Bundle.open(tmp_path / "copy").id == opened.id
    assert Bundle.open(write(tmp_path / "again")).id == opened.id
    assert Bundle.open(write(tmp_path / "other", b"other")).id != opened.id


def test_every_changed_byte_of_a_manifest_is_refused_or_changes_nothing_it_says(bundle):
    file = bundle / "manifest.json"
    whole, manifest = file.read_bytes(), Bundle.open(bundle).manifest
    refused = 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        try:
            assert Bundle.open(bundle).manifest == manifest
        except BundleError:
            refused += 1
    assert refused > 0.8 * len(whole)


@pytest.mark.parametrize("field", ["name", "notes", "digest"])
def test_a_manifest_that_was_changed_by_hand_is_refused(bundle, field):
    file = bundle / "manifest.json"
    data = json.loads(file.read_bytes())
    file.write_text(json.dumps({**data, field: ["other"] if field == "notes" else "other"}))
    with pytest.raises(BundleError, match=r"manifest\.json was changed after the bundle was made"):
        Bundle.open(bundle)


def test_a_manifest_may_be_written_with_other_spaces(bundle):
    file = bundle / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()), indent=7))
    Bundle.open(bundle)


def test_an_open_bundle_cannot_be_changed(bundle):
    with pytest.raises(AttributeError):
        Bundle.open(bundle).manifest.name = "other"


def test_a_changed_byte(bundle):
    (bundle / "graph.onnx").write_bytes(b"grapH")
    with pytest.raises(BundleError, match=r"graph\.onnx was changed.*sha256"):
        Bundle.open(bundle)
    assert Bundle.open(bundle, check_files=False).manifest.name == "net-onnx"


def test_a_truncated_file_tells_both_sizes(bundle):
    (bundle / "graph.onnx").write_bytes(b"gra")
    with pytest.raises(BundleError, match=r"has 3 bytes, the manifest says 5"):
        Bundle.open(bundle)


def test_a_missing_file(bundle):
    (bundle / "engine" / "model.bin").unlink()
    with pytest.raises(BundleError, match=r"model\.bin is missing"):
        Bundle.open(bundle)


@pytest.mark.parametrize("link", ["graph.onnx", "engine"])
def test_a_link_is_refused_even_to_the_same_content(bundle, tmp_path, link):
    (bundle / link).rename(tmp_path / "elsewhere")
    (bundle / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "name", ["../secret", "engine/../../secret", "{absolute}", "..\\secret", "engine\\model.bin"]
)
def test_a_path_outside_the_bundle_is_refused_unread(bundle, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes(b"graph")
    name = name.format(absolute=secret)
    entry = {"size": 5, "sha256": hashlib.sha256(b"graph").hexdigest()}
    tamper(bundle, lambda data: data["files"].update({name: entry}))
    with pytest.raises(BundleError, match="the listed file"):
        Bundle.open(bundle)


def test_a_folder_is_not_a_file(bundle):
    tamper(bundle, lambda data: data["files"].update({"engine": {"size": 0, "sha256": "0" * 64}}))
    with pytest.raises(BundleError, match="missing"):
        Bundle.open(bundle)


def test_a_file_the_manifest_does_not_list_cannot_be_asked_for(bundle):
    (bundle / "extra").write_bytes(b"planted")
    with pytest.raises(BundleError, match="no file 'extra'"):
        Bundle.open(bundle).file("extra")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}'])
def test_a_broken_manifest(bundle, content):
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(bundle)


def test_a_manifest_of_another_version(bundle):
    tamper(bundle, lambda data: data.update(schema_version=99))
    with pytest.raises(BundleError, match="schema_version 99"):
        Bundle.open(bundle)


def test_a_wrong_value_in_the_manifest_is_shown(bundle):
    tamper(bundle, lambda data: data["model"].update(input_size=[8, "eight"]))
    with pytest.raises(BundleError) as refusal:
        Bundle.open(bundle)
    assert "model.input_size" in str(refusal.value) and "'eight'" in str(refusal.value)


def test_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="is not a bundle") as refusal:
        Bundle.open(tmp_path)
    assert "edgeseg export" in refusal.value.hint


def test_a_bundle_without_engine_says_what_it_is(bundle):
    with pytest.raises(BundleError, match="kind 'onnx'"):
        _ = Bundle.open(bundle).engine


def test_the_engine_size_counts_what_the_device_needs(bundle):
    opened = Bundle.open(bundle)
    record = EngineRecord(
        target="null-fp32", graph="graph.onnx", entry="engine/model.bin", camera_size=(8, 8)
    )
    manifest = msgspec.structs.replace(opened.manifest, engine=record)
    assert Bundle(bundle, manifest).engine_size() == len(b"engine")


def test_the_settings_key_depends_on_what_matters_only():
    key = settings_key("p", "build", {"a": 1, "b": [2]}, {"onnx": "1"})
    assert key == settings_key("p", "build", {"b": [2], "a": 1}, {"onnx": "1"})
    others = [
        settings_key("q", "build", {"a": 1, "b": [2]}, {"onnx": "1"}),
        settings_key("p", "export", {"a": 1, "b": [2]}, {"onnx": "1"}),
        settings_key("p", "build", {"a": 2, "b": [2]}, {"onnx": "1"}),
        settings_key("p", "build", {"a": 1, "b": [2]}, {"onnx": "2"}),
    ]
    assert len({key, *others}) == 5
