"""`python -m segtrain datasets` and `download`: published data sets."""
