"""A judgement on disk: its rules, its pictures and pairs, its raters, and the log of their answers."""
