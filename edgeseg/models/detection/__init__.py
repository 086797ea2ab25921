"""Detection networks as static graphs: fixed shapes, no plug-ins, no shape that depends on data."""
