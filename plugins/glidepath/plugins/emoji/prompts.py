"""Prompts that are always the same, for sheets that people look at."""

from __future__ import annotations

from typing import Final

#: Things that were drawn, in the styles that they were drawn in.
DRAWN: Final = (
    "a red apple, 3d", "an astronaut, flat", "a purple heart, noto", "a pizza, flat",
    "a cat face, noto", "a dog face, 3d", "a rocket, flat", "a palm tree, 3d",
    "a waving hand, dark skin tone, 3d", "a thumbs up, light skin tone, noto",
    "a sunflower, noto", "an octopus, 3d",
    "a house, flat", "a bicycle, noto", "a ghost, 3d", "a teapot, noto",
    "a guitar, flat", "a penguin, noto", "a strawberry, 3d", "an umbrella, flat",
    "an automobile, 3d", "a basketball, flat", "a crown, noto", "a fire, 3d",
)  # fmt: skip

#: What nobody drew: words of the captions in combinations that no picture shows.
UNDRAWN: Final = (
    "a blue apple, 3d", "a purple apple, flat", "a pink banana, noto", "a black banana, 3d",
    "a green strawberry, 3d", "a blue tomato, flat", "a white melon, 3d", "a red lemon, noto",
    "a yellow book, 3d", "a pink book, flat", "a purple car, 3d", "a green car, flat",
    "a yellow bus, noto", "a pink rocket, 3d", "a blue rose, flat", "a black rose, noto",
    "a green fox, 3d", "a purple cat, flat", "a blue dog face, 3d", "a pink penguin, noto",
    "a red elephant, 3d", "a green horse, flat", "a yellow whale, noto", "an orange dolphin, 3d",
    "a grey frog, flat", "a red frog, 3d", "a white crab, noto", "a blue crab, 3d",
    "an avocado chair, 3d", "a banana boat, flat", "a pizza house, noto", "a cat astronaut, 3d",
    "a robot cat, flat", "a dog with sunglasses, 3d", "a fire heart, flat", "a melon robot, noto",
    "a ghost, medium skin tone, 3d", "a clown face with crown, flat", "a tree house, 3d",
    "a moon face with hat, noto",
)  # fmt: skip
