"""A small kind of generators, as the module of a plugin, for tests."""

PARTS = """
import torch
from glidepath.core import Generator, State

class Maker(Generator):
    pass

class Paint(Maker):
    image_shape = (3, 8, 8)

    def __init__(self, config):
        super().__init__()
        self.steps = config.layers
        self.linear = torch.nn.Linear(8, 8)

    def states(self, conditioning, x, noise):
        for index in range(self.steps):
            x = self.linear(x) + noise.step(index, x)
            yield State(index + 1, self.steps, x, x)
"""
