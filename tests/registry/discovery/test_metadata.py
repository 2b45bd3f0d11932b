"""What a plugin requires of glidepath and of other plugins is read from its metadata, before any import."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from glidepath.registry.discovery.metadata import Requires, stated, stated_requirements

RANGES = [
    ">=0.1", ">=0.1,<0.2", "<1", "==1", "!=1.0", ">1", "<=1.0.0", "~=1.2", "==1.*", ">=1.0rc1", ">=1.0,!=1.2"
]  # fmt: skip
VERSIONS = [
    "0.1", "0.1.0", "0.2.0", "1", "1.0", "1.0.0", "1.0.1", "1.2", "1.2.9", "1.10", "2.0", "1.0rc2", "0.2.dev1"
]  # fmt: skip


def info(folder: Path, text: str, name: str = "METADATA") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("versions", RANGES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_range_holds_what_packaging_says_that_it_holds(versions: str, version: str) -> None:
    expected = SpecifierSet(versions).contains(version, prereleases=True)
    assert Requires("acme", versions).met_by(version) == expected


@pytest.mark.parametrize("version", ["", "unknown"])
def test_what_is_no_version_is_not_judged(version: str) -> None:
    assert Requires("acme", ">=2").met_by(version)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("glidepath-diffusion>=0.1,<0.2", ["glidepath-diffusion>=0.1,<0.2"]),
        ("glidepath-diffusion <0.2, >=0.1", ["glidepath-diffusion>=0.1,<0.2"]),
        ("Glide_Path (>=0.1)", []),
        ("GLIDEPATH_Diffusion (>=0.1)", ["glidepath-diffusion>=0.1"]),
        ("glidepath-diffusion[clip]~=0.1", ["glidepath-diffusion~=0.1"]),
        ("glidepath-diffusion", []),
        ("glidepath-extras>=3", []),
        ("torch>=99", []),
        ('glidepath-diffusion>=2; extra == "new"', []),
        ('glidepath-diffusion>=2; python_version >= "3"', ["glidepath-diffusion>=2"]),
        ('glidepath-diffusion>=2; python_version < "3"', []),
        ("glidepath-diffusion>=>2", []),
        ("glidepath-diffusion @ https://example.org/x.whl", []),
    ],
)
def test_bounds_on_the_versions_of_what_is_asked_for_are_read(
    tmp_path: Path, line: str, expected: list[str]
) -> None:
    folder = info(tmp_path / "x", f"Metadata-Version: 2.1\nName: acme\nRequires-Dist: {line}\n\ntext\n")
    assert [str(it) for it in stated_requirements(folder, {"glidepath-diffusion"})] == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_readme_below_the_headers_requires_nothing(tmp_path: Path, end: str) -> None:
    text = end.join(
        ["Name: acme", "Version: 3", "", "Version: 4", "Requires-Dist: glidepath-diffusion>=9", ""]
    )
    folder = info(tmp_path / "x", text)
    assert stated_requirements(folder, {"glidepath-diffusion"}) == ()
    assert stated(folder)[1] == "3"


def test_a_distribution_without_metadata_requires_nothing(tmp_path: Path) -> None:
    assert stated_requirements(tmp_path, {"glidepath-diffusion"}) == ()
    assert stated(tmp_path)[1] == ""
