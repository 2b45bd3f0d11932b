"""A spec's slots to components, held against one another; nothing is built."""
