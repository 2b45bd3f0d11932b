"""The trainers that a spec names, each a sequence of stages."""
