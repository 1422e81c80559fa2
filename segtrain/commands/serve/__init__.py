"""A small server: an image in, a mask, overlay or polygons out."""
