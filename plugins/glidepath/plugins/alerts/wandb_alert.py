"""The alert `wandb`."""

from __future__ import annotations

import wandb

from glidepath.plugins.alerts.alert import Alert
from glidepath.plugins.alerts.configs import WandbAlertConfig
from glidepath.plugins.alerts.message import Message


class WandbAlert(Alert):
    """`Run.alert` of a run that holds nothing else: that of the figures ends with the process that trains."""

    config: WandbAlertConfig

    def send(self, message: Message) -> None:
        """Alert, and end the run: what is sent has then left the machine."""
        settings = wandb.Settings(console="off", silent=True)
        run = wandb.init(
            project=self.config.project, entity=self.config.entity, job_type="alert", settings=settings
        )
        try:
            level = {"failure": "ERROR", "warning": "WARN"}.get(message.severity, "INFO")
            run.alert(title=message.title, text=message.body or message.title, level=level)
        finally:
            run.finish()
