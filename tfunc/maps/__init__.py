"""Trained networks to maps: how outputs become a probability and an uncertainty, and where the files are written.

`predict` is the way in."""

from data_prep.base.processes import choose_backend

choose_backend()  # before a module of this room imports Keras, or TensorFlow, which does
