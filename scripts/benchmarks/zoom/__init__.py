"""The joint sampler, on models whose right answer is known in closed form."""
