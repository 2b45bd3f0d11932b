"""Ablation studies: arms from one file, run with resume, compared with statistics."""
