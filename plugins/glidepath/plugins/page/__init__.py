"""The page: `glidepath page` shows what the registry knows, makes images, and tells how they came about."""
