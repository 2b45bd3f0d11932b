"""The alert `apprise`: e-mail, chats and phones, by the library apprise."""

from __future__ import annotations

import logging

import apprise

from glidepath.core import GlidepathError
from glidepath.plugins.alerts.alert import Alert, from_environment
from glidepath.plugins.alerts.configs import AppriseConfig
from glidepath.plugins.alerts.message import Message, Undelivered


class AppriseAlert(Alert):
    """Tells all services whose addresses stand in an environment variable."""

    config: AppriseConfig

    def require(self) -> None:
        """Refuse to begin with an address that apprise does not know."""
        self._services()

    def send(self, message: Message) -> None:
        """Tell them all. Where one of several fails, all are told again."""
        services = self._services()
        taken = services.notify(title=message.title, body=message.body or " ", notify_type=message.severity)
        if not taken:
            raise Undelivered("apprise could not deliver to all of its services")

    def _services(self) -> apprise.Apprise:
        logging.getLogger("apprise").disabled = True  # it tells addresses, passwords included
        services = apprise.Apprise()
        if not services.add(from_environment(self.config.urls_env, "the addresses of services")):
            raise GlidepathError(
                f"the environment variable {self.config.urls_env} holds an address that apprise does not know"
            )
        return services
