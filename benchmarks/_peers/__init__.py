"""The parts of `benchmarks/peers.py`.

`tools` and `ours` hold the contestants, one small function each; `roster` lists them; `compress`, `timing`,
`scoring` and `report` are the phases.
"""
