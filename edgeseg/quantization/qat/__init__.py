"""The Q/DQ graph as a network that learns."""
