from __future__ import annotations

import pytest

from edgeseg.core.target import Target
from edgeseg.errors import TargetError


@pytest.mark.parametrize(
    "text",
    [
        "trt-fp16",
        "trt-fp16@orin",
        "rtx-fp16@sm86,sm89",
        "openvino-bf16",
        "openvino-fp16@gpu.1",
        "ort-fp32+threads=2",
        "ort-fp32+threads=2+cpus=0,2,3",
        "openvino-fp32@npu+cpus=7",
    ],
)
def test_what_is_printed_is_what_was_read(text):
    assert str(Target.parse(text)) == text
    assert Target.parse(str(Target.parse(text))) == Target.parse(text)


def test_fields():
    target = Target.parse("openvino-bf16@cpu+threads=4+cpus=0,2-4")
    assert target == Target(
        engine="openvino", precision="bf16", hardware=("cpu",), threads=4, cpus=(0, 2, 3, 4)
    )
    assert str(target) == "openvino-bf16@cpu+threads=4+cpus=0,2,3,4"


def test_options_in_any_order_are_the_same_target():
    assert Target.parse("ort-fp32+cpus=0-1+threads=2") == Target.parse("ort-fp32+threads=2+cpus=0,1")


@pytest.mark.parametrize(
    "text",
    ["", "trt", "trt-", "-fp16", "TRT-fp16", "trt_fp16", "trt-fp16@", "trt-fp16 ", "trt-fp16@orin@sm87",
     "../trt-fp16", "trt-fp16+", "trt-fp16+threads", "trt-fp16+threads=two"],
)  # fmt: skip
def test_other_forms_are_refused(text):
    with pytest.raises(TargetError, match="engine-precision") as refusal:
        Target.parse(text)
    assert f"'{text}'" in str(refusal.value)
    assert "edgeseg targets" in refusal.value.hint


def test_an_unknown_precision_lists_the_known():
    with pytest.raises(TargetError, match="'fp17'") as refusal:
        Target.parse("trt-fp17")
    assert "fp32, bf16, fp16" in refusal.value.expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ort-fp32+speed=9", "'speed'"),
        ("ort-fp32+threads=1,2", "'threads' as '1,2'"),
        ("ort-fp32+threads=99999999999999999999", "'threads' as '99999999999999999999'"),
        ("ort-fp32+cpus=,", "','"),
        ("ort-fp32+cpus=1-", "'1-'"),
        ("ort-fp32+cpus=3-1", "'3-1'"),
        ("ort-fp32+cpus=1-2-3", "'1-2-3'"),
        ("ort-fp32+threads=2+threads=4", "'threads'"),
    ],
)
def test_wrong_options_are_named(text, named):
    with pytest.raises(TargetError) as refusal:
        Target.parse(text)
    assert text in str(refusal.value) and named in str(refusal.value)


@pytest.mark.parametrize("text", ["trt-fp16@orin", "rtx-fp16@sm86,sm89", "ort-fp32+threads=2+cpus=0,1"])
def test_a_folder_name_has_no_special_characters(text):
    assert set(Target.parse(text).folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
