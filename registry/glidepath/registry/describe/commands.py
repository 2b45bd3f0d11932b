"""The commands of glidepath itself; plugins may add others through the `commands()` hook."""

from __future__ import annotations

from collections.abc import Mapping

BUILTIN_COMMANDS: Mapping[str, str] = {
    "list": "the parts and presets that are installed",
    "show": "one part: its parameters, where it comes from, how a spec names it",
    "plugins": "the plugins that are installed, and what is wrong with those that fail",
    "check": "whether a spec is right; every problem, with its place",
    "plan": "what a spec stands for: each part and parameter, and what an image costs",
    "sample": "make images from prompts",
    "replay": "make an image again from what it carries",
    "lock": "write down what a spec stands for here: versions, files, weights",
    "diff": "what differs between two specs, locks or images, part by part",
}
"""What each does, by name. A plugin's command has another name."""
