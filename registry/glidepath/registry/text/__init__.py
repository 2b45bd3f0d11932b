"""YAML text to a tree in which every value knows its place, and how a problem at a place is told."""
