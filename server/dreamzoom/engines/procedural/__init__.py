"""A world in closed form with detail at every scale, steered by the words of the prompts."""
