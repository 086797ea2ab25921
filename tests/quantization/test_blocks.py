from __future__ import annotations

import pytest
from onnx import ModelProto
from patterns import Net

from edgeseg.errors import InputError
from edgeseg.quantization.placement.blocks import blocks_of, neighbours, parts_of
from edgeseg.quantization.placement.groups import Group, groups_of
from edgeseg.quantization.placement.pairs import place
from edgeseg.quantization.schemes import scheme_named


def groups(model: ModelProto) -> tuple[Group, ...]:
    return groups_of(model, place(model, scheme_named("openvino")))


def costs(model: ModelProto) -> dict[str, float]:
    return {group.name: float(group.macs) for group in groups(model)}


def encoder_decoder() -> ModelProto:
    """A stem, a residual block of two, eight layers below a long skip, a decoder that reads the skip."""
    net = Net()
    stem = net.conv("stem", "image", 3, 8)
    inner = net.conv("r2", net.op("Relu", "a1", net.conv("r1", stem, 8, 8)), 8, 8)
    skip = deep = net.op("Add", "sum", inner, stem)
    for index in range(8):
        deep = net.conv(f"d{index}", deep, 8, 8)
    joined = net.op("Concat", "join", deep, skip, axis=1)
    return net.model(net.conv("head", joined, 16, 4))


def names(blocks: tuple[Group, ...]) -> list[tuple[str, ...]]:
    return [block.nodes for block in blocks]


def test_a_residual_block_stays_together_and_a_long_skip_does_not() -> None:
    model = encoder_decoder()
    found = blocks_of(model, groups(model), 16, costs(model))
    assert names(found) == [("stem",), ("r1", "r2"), *((f"d{i}",) for i in range(8)), ("head",)]


def test_parallel_branches_stay_together() -> None:
    net = Net()
    source = net.conv("stem", "image", 3, 8)
    branches = [net.conv(f"b{i}", source, 8, 8) for i in range(4)]
    model = net.model(net.conv("out", net.op("Concat", "join", *branches, axis=1), 32, 4))
    found = blocks_of(model, groups(model), 16, costs(model))
    assert names(found) == [("stem",), ("b0", "b1", "b2", "b3"), ("out",)]


def test_the_cheapest_neighbours_are_merged() -> None:
    model = encoder_decoder()
    price = dict.fromkeys(costs(model), 1.0) | {"d3": 9.0, "d4": 9.0}
    found = blocks_of(model, groups(model), 4, price)
    assert len(found) == 4
    assert [node for block in found for node in block.nodes] == [g.name for g in groups(model)]
    assert ("d3",) in names(found) and ("d4",) in names(found)


def test_every_limit_gives_every_node_once() -> None:
    model = encoder_decoder()
    for limit in (1, 2, 5, 100):
        found = blocks_of(model, groups(model), limit, costs(model))
        assert len(found) <= limit
        assert sorted(node for block in found for node in block.nodes) == sorted(costs(model))


def test_parts_cut_through_a_residual() -> None:
    model = encoder_decoder()
    block = next(b for b in blocks_of(model, groups(model), 16, costs(model)) if len(b.nodes) == 2)
    assert names(parts_of(block, groups(model), 4, costs(model))) == [("r1",), ("r2",)]


def test_neighbours_read_from_each_other() -> None:
    model = encoder_decoder()
    blocks = blocks_of(model, groups(model), 16, costs(model))
    near = neighbours(model, blocks)
    assert near[0] == (1, 2, 10)  # the sum reads the stem beside the residual block
    assert near[10] == (0, 1, 9)


def test_no_blocks_are_refused() -> None:
    model = encoder_decoder()
    with pytest.raises(InputError, match="a plan of 0 blocks"):
        blocks_of(model, groups(model), 0, costs(model))
