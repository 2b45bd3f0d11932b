"""The first files of a plugin: a package that can be built, installed, tested and published as it is."""
