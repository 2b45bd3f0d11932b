"""Pages for browsers: who may ask, how much, and the server itself. Starlette is imported when used."""
