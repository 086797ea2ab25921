"""The fastest precision plan within an accuracy budget."""
