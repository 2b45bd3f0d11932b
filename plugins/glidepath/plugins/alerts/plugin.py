"""What this plugin supplies: the kind `alert`, parts of it, and the command `alert`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, Extra, Kind, hookimpl

_HERE = "glidepath.plugins.alerts"


@hookimpl
def kinds() -> Iterable[Kind]:
    """What tells a person."""
    return (
        Kind(
            name="alert",
            interface=f"{_HERE}.alert:Alert",
            summary="tells a person what happens to a run of training or a study",
            slot="alerts",
            many=True,
            sampling=False,
        ),
    )


@hookimpl
def components() -> Iterable[Component]:
    """Ways to reach a person."""
    return (
        Component(
            kind="alert",
            name="webhook",
            target=f"{_HERE}.webhook:WebhookAlert",
            config=f"{_HERE}.configs:WebhookConfig",
            summary="posts to an address: one of your own, or an incoming webhook of Slack or Discord",
        ),
        Component(
            kind="alert",
            name="apprise",
            target=f"{_HERE}.apprised:AppriseAlert",
            config=f"{_HERE}.configs:AppriseConfig",
            summary="e-mail, Slack, Telegram, phones and a hundred other services, through apprise",
            requires=(Extra(module="apprise", install="pip install 'glidepath-diffusion[alerts]'"),),
        ),
        Component(
            kind="alert",
            name="wandb",
            target=f"{_HERE}.wandb_alert:WandbAlert",
            config=f"{_HERE}.configs:WandbAlertConfig",
            summary="an alert of Weights & Biases, which it forwards to Slack or e-mail",
            requires=(Extra(module="wandb", install="pip install 'glidepath-diffusion[wandb]'"),),
        ),
        Component(
            kind="alert",
            name="desktop",
            target=f"{_HERE}.desktop:DesktopAlert",
            config=f"{_HERE}.configs:AlertConfig",
            summary="a notification on the desktop of this machine",
        ),
    )


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath alert`."""
    return (
        Command(
            name="alert",
            target=f"{_HERE}.command:main",
            summary="try the alerts of a spec, or watch runs from another machine",
        ),
    )
