"""Operators that are refused on purpose, each with its reason."""

from __future__ import annotations

_QUANTIZED = (
    "the file is already quantised in a way that cannot be trained: lift the float file it was made of"
)
_DATA = "the shape of its output depends on values, so the graph is not static"
_CONTROL = "control flow is not part of a static graph: simplify the file, or export it without branches"
_RANDOM = "its output is random"
_SEQUENCE = "sequences and optional values are not tensors"
_TEXT = "it works on text"
_TRAINS = "it is part of a training step, not of a network"
_RECURRENT = "recurrent layers are not lifted"
_BOXES = "boxes are post-processing: cut the graph before it"

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"), _QUANTIZED
    ),
    **dict.fromkeys(("NonZero", "Unique"), _DATA),
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL),
    **dict.fromkeys(
        (
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Bernoulli",
            "Multinomial",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        (
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
        )
        + ("SequenceMap", "SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement")
        + ("OptionalHasElement",),
        _SEQUENCE,
    ),
    **dict.fromkeys(
        ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"), _TEXT
    ),
    **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), _TRAINS),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _RECURRENT),
    **dict.fromkeys(("NonMaxSuppression", "MaxRoiPool"), _BOXES),
}

UNKNOWN = "there is no converter for it"


def reason(domain: str, op: str) -> str:
    """Why an operator without a converter is refused."""
    if domain in ("", "ai.onnx"):
        return REFUSED.get(op, UNKNOWN)
    return f"it is not a standard operator (domain {domain})"
