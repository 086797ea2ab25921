"""The nouns: frozen, typed, standard library + msgspec (NumPy for array types)."""
