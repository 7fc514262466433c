"""Records to trained networks: slices in, what is learnt, selection of the best epoch, a state that can be taken up again.

`fit` is the way in."""
