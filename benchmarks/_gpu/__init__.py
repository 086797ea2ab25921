"""The parts of `gpu.py`. `prove` and `race` run in processes of their own."""
