"""Words of the command line: numbers that are none, absurd ones, options that do not exist."""

from __future__ import annotations

NUMBERS = (
    "nan", "inf", "-inf", "-1", "0", "1e999", "-1e-999", "9" * 30, "9" * 5_000, "0x10", "1_000", "1.5", "1,5",
    "\uff11\uff12", "²", "", " ", "none", "true", "1e3", "--", "\u0663", "1/0", "NaN%", "-0",
)  # fmt: skip
ABSURD = ("9" * 12, "9" * 18, "9" * 25, "1000000", "99999999999", "1e15")
SIZES = (
    "0x0", "64", "64x", "x64", "-64x64", "64x-64", "64x64x3", "1e3x64", "999999x999999", "9" * 30 + "x64",
    "9" * 5_000 + "x64", "64*64", "\uff16\uff14x\uff16\uff14", "1x1", "63x65", "64X", "nanxnan", " 64x64",
)  # fmt: skip
PAIRS = ("", "=", "a", "=1", "lr", "nothing=1", "a=b=c", "é=1", "a=" + "9" * 5_000, "a=nan,nan,nan", "a=,,,")
TARGETS = (
    "", "ort", "ort-", "-fp32", "ort-fp33", "ort-fp32@", "ort-fp32@moon", "ort-fp32+threads=0x1",
    "ort-fp32+threads=99999", "ort-fp32+threads=5000", "ort-fp32+cpus=9-1", "ort-fp32+cpus=7777",
    "ORT-FP32", "ort-fp32 ", "ort-fp32+streams=2", "../ort-fp32", "ort-fp32\n", "trt-fp16@sm00", "null-int8",
    "openvino-fp32@cpu@gpu",
)  # fmt: skip
WORDS: tuple[tuple[str | bytes, ...], ...] = (
    ("--nothing",), ("--json=maybe",), ("--json", "--json", "--no"), ("-x",), ("-",), ("--",), ("",), (" ",),
    (b"\xff\xfe",), (b"--\xff",), ("--help=1",), ("extra", "more", "words"), ("x" * 100_000,),
    ("../" * 2_000,),
    ("/dev/null",), ("/dev/zero",), ("/",), (".",), ("\n",), ("--output",), ("-o",), ("😀",), ("%s%n{0}",),
    ("[red]x[/red]",), ("\x1b[31m",), ("~nobody/x",), ("http://example.com/x",),
)  # fmt: skip
