"""`python -m segtrain models`: which networks there are, and how large they are."""
