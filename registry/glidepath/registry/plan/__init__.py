"""A spec's slots to components, held against one another, with warnings; nothing is built."""
