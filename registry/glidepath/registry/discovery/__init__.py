"""Which plugins are installed, which of them load, and the catalogue of all that they supply."""
