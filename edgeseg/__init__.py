"""edgeseg: take a trained segmentation network to a fast engine, and prove what it costs."""

__version__ = "0.1.0"
