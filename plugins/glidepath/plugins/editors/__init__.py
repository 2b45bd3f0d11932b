"""Help for whoever writes specs and commands: a JSON Schema for editors, completion for shells."""
