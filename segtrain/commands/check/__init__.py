"""`python -m segtrain check`: what is wrong with images and masks, told before the training, with what to write."""
