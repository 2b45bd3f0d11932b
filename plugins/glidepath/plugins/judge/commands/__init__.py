"""The subcommands of `glidepath judge`."""
