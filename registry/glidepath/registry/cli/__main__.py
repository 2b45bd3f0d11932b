"""`python -m glidepath.registry.cli`, for a source tree that is not installed."""

import sys

from glidepath.registry.cli import main

sys.exit(main())
