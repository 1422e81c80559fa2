"""`python -m segtrain schema`: the JSON schema of an experiment."""
