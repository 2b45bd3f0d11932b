"""The alert `desktop`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from glidepath.core import GlidepathError
from glidepath.plugins.alerts.alert import Alert
from glidepath.plugins.alerts.message import Message, Undelivered

_SECONDS = 10


class DesktopAlert(Alert):
    """Asks the program of the system: `notify-send` of freedesktop.org, `osascript` of macOS."""

    def require(self) -> None:
        """Refuse to begin without that program."""
        if shutil.which(_program()) is None:
            raise GlidepathError(
                f"an alert on the desktop is shown by {_program()}, which is not there; use another alert "
                "on a machine without a desktop"
            )

    def send(self, message: Message) -> None:
        """Show it."""
        try:
            subprocess.run(_command(message), check=True, capture_output=True, timeout=_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise Undelivered(f"{_program()} failed ({type(error).__name__})") from None


def _program() -> str:
    return "osascript" if sys.platform == "darwin" else "notify-send"


def _command(message: Message) -> list[str]:
    if sys.platform == "darwin":
        title, body = json.dumps(message.title), json.dumps(message.body)
        return ["osascript", "-e", f"display notification {body} with title {title}"]
    urgency = "critical" if message.severity == "failure" else "normal"
    return [
        "notify-send", f"--urgency={urgency}", "--app-name=glidepath", "--", message.title, message.body
    ]  # fmt: skip
