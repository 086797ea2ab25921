"""Words of the command line and variables around it: numbers that are none, absurd ones, unknown options."""

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
REGIONS = (
    "region=", "region=1", "region=0,0,8", "region=0,0,0,8", "region=-1,0,8,8", "region=0,0,1e3,8",
    "region=0,0,99999,8", "region=nan,0,8,8", "region=" + "9" * 30 + ",0,8,8", "region=0,0,8,8,8",
)  # fmt: skip
TARGETS = (
    "", "ort", "ort-", "-fp32", "ort-fp33", "ort-fp32@", "ort-fp32@moon", "ort-fp32+threads=0x1",
    "ort-fp32+threads=99999", "ort-fp32+threads=5000", "ort-fp32+cpus=9-1", "ort-fp32+cpus=7777",
    "ORT-FP32", "ort-fp32 ", "ort-fp32+streams=2", "../ort-fp32", "ort-fp32\n", "trt-fp16@sm00", "null-int8",
    "openvino-fp32@cpu@gpu",
)  # fmt: skip
DEVICES = (
    "",
    ":",
    "nowhere",
    "local:",
    "local:x",
    "LOCAL",
    "ssh://",
    "nowhere:/",
    "../local",
    "lo cal",
    "local\n",
)
WORDS: tuple[tuple[str | bytes, ...], ...] = (
    ("--nothing",), ("--json=maybe",), ("--json", "--json", "--no"), ("-x",), ("-",), ("--",), ("",), (" ",),
    (b"\xff\xfe",), (b"--\xff",), ("--help=1",), ("extra", "more", "words"), ("x" * 100_000,),
    ("../" * 2_000,),
    ("/dev/null",), ("/dev/zero",), ("/",), (".",), ("\n",), ("--output",), ("-o",), ("😀",), ("%s%n{0}",),
    ("[red]x[/red]",), ("\x1b[31m",), ("~nobody/x",), ("http://example.com/x",),
)  # fmt: skip

SETTINGS = ("lr", "batch", "crop", "scale", "seed", "workers", "weight_decay", "warmup", "loss", "ema_decay")
SETTING_VALUES = ("nan", "inf", "-1", "0", "1e300", "9" * 30, "x", "none", "1,2,3", "")
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "export": {
        "--input-size": SIZES, "--camera-size": SIZES, "--classes": NUMBERS,
        "--tile": SIZES, "--overlap": NUMBERS,
        "--batch": NUMBERS + ABSURD, "--option": PAIRS, "--set": PAIRS + REGIONS,
        "--target": TARGETS, "--device": DEVICES,
    },
    "train": {
        "--limit": NUMBERS, "--set": PAIRS + REGIONS, "--input-size": SIZES,
        "--train": (
            *PAIRS,
            *(f"{name}={value}" for name in SETTINGS for value in SETTING_VALUES),
            "epochs=1000000000", "crop=1000000,1000000", "scale=1,1000000", "loss=ce+", "loss=inf*ce",
            "loss=nan*dice", "loss=-1*ce", "batch=1000000000", "workers=100000", "precision=fp4",
        ),
    },
    "quantize": {
        "--budget-drop": NUMBERS, "--budget-any-class": NUMBERS, "--blocks": NUMBERS,
        "--calibration": NUMBERS,
        "--budget-class": (*PAIRS, "thing=nan", "thing=-1", "thing=x"), "--ptq": PAIRS,
        "--target": TARGETS, "--swish": ("soft", "", "EXACT"),
    },
    "targets": {"--device": DEVICES},
    "doctor": {"--device": DEVICES},
    "build": {"--option": (*PAIRS, *(f"workspace_mb={value}" for value in NUMBERS + ABSURD))},
    "bench": {
        "--min-runs": NUMBERS + ABSURD, "--min-seconds": (*NUMBERS, "1e15", "1e300"),
        "--streams": NUMBERS + ABSURD, "--threads": NUMBERS + ABSURD,
        "--warmup": (*NUMBERS, *ABSURD[:3]), "--max-p99-ms": NUMBERS,
        "--cpus": (*NUMBERS, "3-1", "0-99999999999", "0,", "9000"),
        "--openings": NUMBERS, "--blocks": NUMBERS, "--device": DEVICES,
    },
    "verify": {
        "--limit": NUMBERS, "--threads": NUMBERS + ABSURD, "--worst": NUMBERS,
        "--device": DEVICES, "--max-drop-any-class": NUMBERS,
        "--max-drop-any-slice": NUMBERS, "--max-calibration-error": NUMBERS,
        "--min-recall": (*PAIRS, "thing=nan", "thing=101"), "--min-precision": (*PAIRS, "thing=-1"),
        "--max-drop": NUMBERS, "--max-class-drop": (*PAIRS, "thing=nan", "thing=-1"),
        "--split": ("", "no", "../val", "val\n"),
    },
    "predict": {"--alpha": NUMBERS},
    "plan": {"--data": ("", "no", "folders=", "=", "folders=/dev/zero", "camvid", "x=y")},
    "run": {
        "--min-runs": NUMBERS, "--min-seconds": (*NUMBERS, "1e15"),
        "--data": ("no", "folders=", "=", "folders=/dev/zero", "camvid", "x=y"),
    },
    "calibrate select": {
        "--count": NUMBERS, "--seed": NUMBERS, "--every": NUMBERS,
        "--strategy": ("best", "", "k-centre"), "--split": ("no", "../train"),
    },
    "calibrate check": {"--limit": NUMBERS, "--not-in": ("no", "=", "folders=pairs:no", ":")},
}  # fmt: skip

ENVIRONMENTS: dict[str, tuple[dict[str, str | None], tuple[int, ...]]] = {
    "no home": ({"HOME": None, "XDG_CACHE_HOME": None}, ()),
    "a home that is a file": ({"HOME": "good.toml", "XDG_CACHE_HOME": None}, ()),
    "an empty home": ({"HOME": "", "XDG_CACHE_HOME": ""}, ()),
    "a cache that is a file": ({"XDG_CACHE_HOME": "good.toml"}, ()),
    "a cache that is a device": ({"XDG_CACHE_HOME": "/dev/null"}, ()),
    "a cache in /proc": ({"XDG_CACHE_HOME": "/proc/none"}, ()),
    "a cache at a pipe": ({"XDG_CACHE_HOME": "pipe"}, ()),
    "a cache with a long name": ({"XDG_CACHE_HOME": "x" * 5_000}, ()),
    "no temporary folder": ({"TMPDIR": "/proc/none"}, ()),
    "an ASCII terminal": ({"PYTHONIOENCODING": "ascii", "LANG": "C"}, ()),
    "no columns": ({"COLUMNS": "0"}, ()),
    "columns of words": ({"COLUMNS": "wide"}, ()),
    "a terminal of words": ({"TERM": "nonsense", "FORCE_COLOR": "1"}, ()),
    "threads of words": ({"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "-3"}, ()),
    "instruction sets of words": ({"ONEDNN_MAX_CPU_ISA": "nonsense"}, ()),
    "no path": ({"PATH": ""}, ()),
    "no output": ({}, (1,)),
    "no errors": ({}, (2,)),
    "no output and no errors": ({}, (1, 2)),
    "debugging": ({"EDGESEG_DEBUG": "1"}, ()),
    "GPUs of words": ({"CUDA_VISIBLE_DEVICES": "seven"}, ()),
}
