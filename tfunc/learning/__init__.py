"""Records to trained networks: slices in, what is learnt, selection of the best epoch, a state that can be taken up again.

`fit` is the way in."""

from data_prep.base.processes import choose_backend

choose_backend()  # before a module of this room imports Keras, or TensorFlow, which does
