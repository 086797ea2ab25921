"""A target: engine + precision + hardware + threads, written `trt-fp16@orin`."""

from __future__ import annotations

import re

import msgspec

from edgeseg.core.bounds import MOST_THREADS
from edgeseg.errors import TargetError

PRECISIONS = ("fp32", "bf16", "fp16", "int8")

_PATTERN = re.compile(
    r"(?P<engine>[a-z]+)-(?P<precision>[a-z0-9]+)"
    r"(?:@(?P<hardware>[a-z0-9.,]+))?"
    r"(?P<options>(?:\+[a-z]+=[0-9,-]+)*)"
)


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine is built for.

    Attributes:
        engine: `openvino`, `ort`, `trt`, `rtx`, or the name another backend file registers.
        precision: one of PRECISIONS; `int8`: what stays float is computed in the engine's fastest float.
        hardware: device names the engine understands: `orin`, `sm86`, `gpu`, `npu`; empty: the
            engine's default.
        threads: inference threads on a CPU; 0: all cores the process may use.
        cpus: the cores the process is pinned to; empty: not pinned.
    """

    engine: str
    precision: str
    hardware: tuple[str, ...] = ()
    threads: int = 0
    cpus: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `engine-precision[@hardware[,hardware]][+threads=N][+cpus=0,2-3]`.

        Raises:
            TargetError: the text has another form or names an unknown precision.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise TargetError(
                f"'{text}' is not a target",
                expected="engine-precision[@hardware][+threads=N][+cpus=0-3], as in trt-fp16@orin",
                hint="run `edgeseg targets` to see all",
            )
        if match["precision"] not in PRECISIONS:
            raise TargetError(
                f"target '{text}' has the unknown precision '{match['precision']}'",
                expected=f"one of {', '.join(PRECISIONS)}",
                hint="run `edgeseg targets` to see all",
            )
        given = [part.split("=") for part in match["options"].split("+") if part]
        options = dict(given)
        wrong = sorted(set(options) - {"threads", "cpus"})
        wrong += [name for name in options if len([n for n, _ in given if n == name]) > 1]
        threads = options.get("threads", "1")
        if not re.fullmatch(r"[0-9]{1,4}", threads) or int(threads) > MOST_THREADS:
            wrong.append("threads")
        if wrong:
            raise TargetError(
                f"target '{text}' has the option '{wrong[0]}' as '{options[wrong[0]]}'",
                expected=f"+threads=N, at most {MOST_THREADS}, or +cpus=0,2-3, each once",
            )
        return cls(
            engine=match["engine"],
            precision=match["precision"],
            hardware=tuple(h for h in (match["hardware"] or "").split(",") if h),
            threads=int(options.get("threads", 0)),
            cpus=parse_cpus(options["cpus"], f"target '{text}': ") if "cpus" in options else (),
        )

    def __str__(self) -> str:
        text = f"{self.engine}-{self.precision}"
        if self.hardware:
            text += "@" + ",".join(self.hardware)
        if self.threads:
            text += f"+threads={self.threads}"
        if self.cpus:
            text += "+cpus=" + ",".join(str(c) for c in self.cpus)
        return text

    @property
    def folder(self) -> str:
        """The target as part of a folder name."""
        return str(self).replace("@", "-").replace("+", "-").replace(",", "_").replace("=", "")


def parse_cpus(text: str, where: str = "") -> tuple[int, ...]:
    """`0,2-3` to (0, 2, 3); empty to (). `where` begins the message of an error.

    Raises:
        TargetError: another form, a range that runs backwards, or a core no machine has.
    """
    cpus: list[int] = []
    for part in text.split(",") if text else ():
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise TargetError(f"{where}'{text}' is not a list of cores", expected="a list such as 0,2-3")
        cpus.extend(range(first, last + 1))
    return tuple(cpus)
