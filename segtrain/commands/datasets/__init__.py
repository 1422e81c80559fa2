"""`python -m segtrain datasets` and `download`: published datasets."""
