"""What the subcommands of `glidepath study` do."""
