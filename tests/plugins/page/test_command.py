"""`glidepath page` refuses at its start what could only fail later."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.page.command import main


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gets as far as serving has been refused nothing."""
    pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
    monkeypatch.setattr("glidepath.plugins.page.command.serve", lambda *_given, **_named: None)


def test_images_go_into_a_folder(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("extends: shapes\n")
    for out in (tmp_path / "my.yaml", tmp_path / "my.yaml" / "below"):
        with pytest.raises(GlidepathError, match=r"--out .*my\.yaml is no folder"):
            main(["--out", str(out)])
    assert main(["--out", str(tmp_path / "new" / "images"), "--spec", str(tmp_path / "my.yaml")]) == 0
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("sampler: [", "my.yaml:"), ("extends: shapes\nsampler: ddimm\n", "did you mean 'ddim'")],
)
def test_a_spec_with_problems_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(GlidepathError, match=reason):
        main(["--spec", str(tmp_path / "my.yaml"), "--out", str(tmp_path)])
