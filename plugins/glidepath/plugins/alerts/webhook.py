"""The alert `webhook`: a POST of JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.alerts.alert import Alert, from_environment
from glidepath.plugins.alerts.configs import WebhookConfig
from glidepath.plugins.alerts.message import Message, Undelivered


class WebhookAlert(Alert):
    """Posts to the address in an environment variable."""

    config: WebhookConfig

    def require(self) -> None:
        """Refuse to begin without an address."""
        self._address()
        self._header()

    def send(self, message: Message) -> None:
        """Post it. Redirections are not followed."""
        body = json.dumps(self._payload(message)).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "glidepath", **self._header()}
        request = urllib.request.Request(self._address(), body, headers, method="POST")
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.config.timeout):
                return
        except urllib.error.HTTPError as error:
            raise Undelivered(f"the webhook answered with status {error.code}") from None
        except urllib.error.URLError as error:
            raise Undelivered(f"the webhook is out of reach ({type(error.reason).__name__})") from None
        except OSError as error:
            raise Undelivered(f"the webhook is out of reach ({type(error).__name__})") from None

    def _payload(self, message: Message) -> dict[str, Any]:
        if self.config.format == "slack":
            return {"text": message.text}
        if self.config.format == "discord":
            return {"content": message.text[:2000]}
        known = {"title": message.title, "body": message.body, "severity": message.severity}
        return {**known, **message.data}

    def _address(self) -> str:
        address = from_environment(self.config.url_env, "an address")
        if not address.startswith(("http://", "https://")) or any(map(str.isspace, address)):
            raise GlidepathError(
                f"the environment variable {self.config.url_env} holds no address that begins with http:// "
                "or https://"
            )
        return address

    def _header(self) -> dict[str, str]:
        if not self.config.header_env:
            return {}
        name, colon, value = from_environment(self.config.header_env, "a header").partition(":")
        if not colon or not (name + value).isprintable():
            raise GlidepathError(
                f"the environment variable {self.config.header_env} holds no header, `Name: value`"
            )
        return {name.strip(): value.strip()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook is where it is said to be; what it is given goes nowhere else."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None
