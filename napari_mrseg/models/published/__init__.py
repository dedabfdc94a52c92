"""Networks whose weights are those of other groups' published code, name by name, so that checkpoints can be taken in.

Written from what the papers describe and what the code states of names, shapes and order; no code of theirs is here.
"""
