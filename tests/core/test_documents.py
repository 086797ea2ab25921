from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import msgspec
import pytest

from edgeseg.core.documents import convert, encode, read_json, read_toml, write_document
from edgeseg.core.recipe import Recipe
from edgeseg.errors import BundleError, InputError, RecipeError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sizes: tuple[int, ...] = ()
    mode: str = "a"


class Noun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    SCHEMA_VERSION: ClassVar[int] = 2

    schema_version: int
    inner: Inner = Inner()


@pytest.fixture(params=["json", "toml"])
def read(request, tmp_path):
    """Write a document with `{inner}` in one of the two languages and read it as Noun."""

    def call(json: str, toml: str) -> Noun:
        if request.param == "json":
            file, text, reader = tmp_path / "noun.json", json, read_json
        else:
            file, text, reader = tmp_path / "noun.toml", toml, read_toml
        file.write_text(text)
        return reader(file, Noun)

    return call


def test_what_is_written_is_read_again(tmp_path):
    noun = Noun(schema_version=2, inner=Inner(sizes=(1, 2), mode="ü"))
    (tmp_path / "noun.json").write_bytes(encode(noun))
    assert read_json(tmp_path / "noun.json", Noun) == noun
    assert encode(noun) == encode(read_json(tmp_path / "noun.json", Noun))


def test_a_wrong_value_is_shown_with_its_field(read):
    with pytest.raises(InputError) as refusal:
        read(
            '{"schema_version": 2, "inner": {"sizes": [1, "two"]}}',
            'schema_version = 2\n[inner]\nsizes = [1, "two"]\n',
        )
    message = str(refusal.value)
    assert "noun." in message and "inner.sizes" in message and "'two'" in message and "int" in message


def test_an_unknown_field_is_named(read):
    with pytest.raises(InputError, match="`moed`"):
        read('{"schema_version": 2, "inner": {"moed": "a"}}', 'schema_version = 2\n[inner]\nmoed = "a"\n')


@pytest.mark.parametrize(
    ("json", "toml", "given"),
    [
        ('{"schema_version": 9}', "schema_version = 9", "9"),
        ('{"schema_version": "2"}', 'schema_version = "2"', "'2'"),
    ],
)
def test_another_schema_version_is_refused(read, json, toml, given):
    with pytest.raises(InputError) as refusal:
        read(json, toml)
    assert f"schema_version {given}" in refusal.value.message
    assert refusal.value.expected == "schema_version 2"


def test_a_missing_schema_version_is_told(read):
    with pytest.raises(InputError, match="schema_version is missing") as refusal:
        read("{}", "")
    assert refusal.value.hint == "add schema_version = 2"


def test_text_in_neither_language(read):
    with pytest.raises(InputError, match=r"is not (JSON|TOML): "):
        read('{"schema_version": ', "schema_version = ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b""])
def test_bytes_that_are_not_text(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match="x"):
        read_json(tmp_path / "x", Noun)
    with pytest.raises(InputError, match="x"):
        read_toml(tmp_path / "x", Noun)


def test_a_list_where_an_object_belongs(tmp_path):
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(InputError, match="object"):
        read_json(tmp_path / "x.json", Noun)


def test_a_missing_file_raises_the_error_asked_for(tmp_path):
    with pytest.raises(BundleError, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json", Noun, error=BundleError)
    with pytest.raises(RecipeError, match=r"x\.toml does not exist"):
        read_toml(tmp_path / "x.toml", Noun, error=RecipeError)


def test_the_reason_of_a_field_check_is_told():
    data = {
        "schema_version": 1,
        "name": "r",
        "targets": [{"target": "ort-fp32", "unmeasured": "dance"}],
        "model": {"name": "demo"},
    }
    with pytest.raises(RecipeError) as refusal:
        convert(data, Recipe, where="r.toml", error=RecipeError)
    assert "r.toml" in str(refusal.value) and "unmeasured = 'dance'" in str(refusal.value)


DEEP = {
    "brackets": ("[" * 100_000, "x = " + "[" * 100_000),
    "tables": ('{"a":' * 100 + "1" + "}" * 100, f"[{'.'.join('a' * 20_000)}]"),
    "dots": ("[" * 40 + "]" * 40, f"x = {{{'.'.join('a' * 20_000)} = 1}}"),
    "quoted": ('{"a":' * 100_000, ".".join(['"a b"', "'c'"] * 10_000) + " = 1"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_values_nested_too_deeply_are_refused_at_once(read, kind):
    with pytest.raises(InputError, match=r"noun\.\w+ nests its values too deeply\nexpected: at most 32"):
        read(*DEEP[kind])


@pytest.mark.parametrize("digits", ["9" * 5_000, "9" * 400, "9" * 20])
def test_an_integer_of_too_many_digits_is_refused(read, digits):
    with pytest.raises(InputError, match=r"noun\.\w+") as refusal:
        read(f'{{"schema_version": {digits}}}', f"schema_version = {digits}")
    assert len(str(refusal.value)) < 500


def test_a_hexadecimal_integer_of_too_many_digits(tmp_path):
    (tmp_path / "x.toml").write_text(f"schema_version = 0x{'f' * 5_000}")
    with pytest.raises(InputError, match="schema_version is an integer of 20000 bits"):
        read_toml(tmp_path / "x.toml", Noun)


@pytest.mark.parametrize("size", [1 << 21, 1 << 27])
def test_a_file_of_a_size_nobody_writes(tmp_path, size):
    for name, reader in (("x.toml", read_toml), ("x.json", read_json)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        with pytest.raises(InputError, match=name):
            reader(tmp_path / name, Noun)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x")
    for reader in (read_toml, read_json):
        with pytest.raises(InputError, match="x is a named pipe"):
            reader(tmp_path / "x", Noun)


def test_a_long_value_is_shown_in_part():
    with pytest.raises(InputError, match=r"given: inner = 'aaaa.*\.\.\.") as refusal:
        convert({"schema_version": 2, "inner": "a" * 100_000}, Noun, where="x")
    assert len(str(refusal.value)) < 1_000


def test_text_that_cannot_be_written_is_refused():
    data = {"schema_version": 2, "inner": {"mode": "a\udcff"}}
    with pytest.raises(InputError, match=re.escape(r"x: inner.mode is 'a\udcff', which is not text")):
        convert(data, Noun, where="x")


def test_a_planted_link_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "noun.json.part").symlink_to(victim)
    (tmp_path / "noun.json").symlink_to(victim)
    write_document(tmp_path / "noun.json", Noun(schema_version=2))
    assert victim.read_text() == "precious"
    assert read_json(tmp_path / "noun.json", Noun) == Noun(schema_version=2)


def test_writers_of_one_document_do_not_meet(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        written = [
            pool.submit(write_document, tmp_path / "n.json", Noun(schema_version=2)) for _ in range(200)
        ]
        assert [future.exception() for future in written] == [None] * 200
    assert [p.name for p in tmp_path.iterdir()] == ["n.json"]


FIRST_USE = """
import sys, threading, types
from edgeseg.core.documents import convert
sys.setswitchinterval(1e-6)
source = '''
from __future__ import annotations
import msgspec
class A(msgspec.Struct): x: int
class B(msgspec.Struct): a: A; b: dict[str, A]; c: A | None
class C(msgspec.Struct): b: B; a: tuple[A, ...]; d: dict[str, B]
'''
for number in range(300):
    module = types.ModuleType(f"nouns{number}")
    sys.modules[module.__name__] = module
    exec(source, module.__dict__)
    data = {"b": {"a": {"x": 1}, "b": {}, "c": None}, "a": [{"x": 1}], "d": {}}
    together = threading.Barrier(3)
    def read():
        together.wait()
        convert(data, module.C, where="data")
    threads = [threading.Thread(target=read) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_threads_may_read_a_noun_for_the_first_time_together():
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
