"""How good a model is: every score at original size, and how sure the scores are."""
