"""Which images calibrate, and are they fit to?"""
