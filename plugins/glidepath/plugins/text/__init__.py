"""GLIDE's text encoder (Nichol et al. 2021), and tokenizers: byte-level BPE and whole words."""
