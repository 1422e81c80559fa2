"""`python -m segtrain demo`: the drawn demo set."""
