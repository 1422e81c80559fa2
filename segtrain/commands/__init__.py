"""The commands of `python -m segtrain`, one folder each; each can be deleted without touching the rest."""
