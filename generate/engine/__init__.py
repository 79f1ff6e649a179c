"""The training engine: packs of models trained in lockstep, and the loop that trains them."""
