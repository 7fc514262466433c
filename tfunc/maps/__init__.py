"""Trained networks to maps: how outputs become a probability and an uncertainty, and where the files are written.

`predict` is the way in."""
