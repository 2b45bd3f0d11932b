"""The kit as it is called: by `glidepath test-plugin`, and by an author's own tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry import Component, cli
from glidepath.registry.describe.descriptors import component_problems
from glidepath.testing import KitError, Outcome, Suite, parametrize_with_checks
from glidepath.testing.suite import Case

pytestmark = pytest.mark.usefixtures("planted_site")

LOSSY = "codec/lossy:keeps-images"


def outcome(suite: Suite, id: str) -> Outcome:
    return suite.run(suite.cases[id])


def test_an_expected_failure_is_told_with_its_reason() -> None:
    suite = Suite("planted", expected_failures={LOSSY: "it saves space"})
    assert outcome(suite, LOSSY) == Outcome(LOSSY, "expected failure", "it saves space", stops=True)
    assert not outcome(suite, LOSSY).is_fault


def test_an_expected_failure_that_passes_is_a_fault() -> None:
    suite = Suite("planted", expected_failures={"codec/sound:builds": "it never did"})
    found = outcome(suite, "codec/sound:builds")
    assert found.status == "unexpectedly passed"
    assert found.is_fault
    assert "it never did" in found.reason


def test_an_unknown_expected_failure_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(KitError, match=r"no check has the id.*did you mean 'codec/lossy:keeps-images'"):
        Suite("planted", expected_failures={"codec/lossy:keep-images": "it saves space"})


def test_an_expected_failure_needs_a_reason() -> None:
    with pytest.raises(KitError, match="has no reason"):
        Suite("planted", expected_failures={LOSSY: " "})


def test_an_unknown_distribution_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(KitError, match=r"'plantd' is installed; did you mean 'planted'\?$"):
        Suite("plantd")


@pytest.mark.parametrize("name", ["qqqq", "glidepath-qqqq"])
def test_a_distribution_like_none_that_is_installed_is_to_be_installed(name: str) -> None:
    remedy = "install it first, from its folder: pip install -e "
    with pytest.raises(KitError, match=f"{name!r} is installed; {remedy}"):
        Suite(name)


@pytest.mark.parametrize("name", ["samplers", "smaplers"])
def test_for_a_plugins_name_the_distribution_that_supplies_it_is_suggested(name: str) -> None:
    meant = r"did you mean the distribution glidepath-diffusion\? \(it supplies the plugin samplers\)$"
    with pytest.raises(KitError, match=meant):
        Suite(name)


def test_a_distribution_without_an_entry_point_of_ours_is_told_where_to_look() -> None:
    with pytest.raises(
        KitError, match=r"it is installed, .* the group glidepath\.plugins: look in its pyproject"
    ):
        Suite("attrs")


def test_a_disabled_distribution_cannot_be_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIDEPATH_DISABLE", "planted")
    with pytest.raises(KitError, match="disabled by GLIDEPATH_DISABLE"):
        Suite("planted")


def test_an_example_for_no_part_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(KitError, match="did you mean 'codec/sound'"):
        Suite("planted", examples={"codec/sond": {}})


def test_an_example_takes_the_place_of_the_descriptors() -> None:
    suite = Suite("planted", examples={"guidance/sound": {"scale": -3}, "guidance/unmoved": {"scal": 1}})
    assert outcome(suite, "guidance/sound:effect").status == "ok"
    case = suite.cases["guidance/sound:effect"]
    assert case.subject.planned.config.scale == -3  # type: ignore[union-attr]
    refused = outcome(suite, "guidance/unmoved:builds")
    assert refused.status == "failed"
    assert "its example is refused" in refused.reason


@pytest.mark.parametrize("given", [{"example": 3}, {"example": {1: 2}}, {"neutral": [1]}, {"example": " "}])
def test_an_example_that_is_no_mapping_is_a_fault_of_the_descriptor(given: dict[str, Any]) -> None:
    component = Component(kind="codec", name="a", target="a:B", summary="a part", **given)
    assert "is not a mapping of parameters to values" in " ".join(component_problems(component, {"codec"}))


def test_an_example_may_be_a_reason_why_there_is_none() -> None:
    component = Component(kind="codec", name="a", target="a:B", summary="a part", example="it needs a file")
    assert not component_problems(component, {"codec"})


def test_a_check_after_one_that_fails_is_not_run() -> None:
    suite = Suite("planted")
    assert outcome(suite, "codec/unbuilt:shapes") == Outcome(
        "codec/unbuilt:shapes", "not applicable", "builds comes first, and fails", stops=True
    )


def test_what_a_constructor_raises_is_told_with_its_place() -> None:
    reason = outcome(Suite("planted"), "codec/unbuilt:builds").reason
    assert "OSError: a file is missing" in reason
    assert "planted/unbuilt" in reason
    assert "planted.py:" in reason


def test_a_check_that_a_plugin_supplies_is_named_for_its_function() -> None:
    found = outcome(Suite("planted"), "ornament/crooked:hangs-straight")
    assert (found.status, found.reason) == ("failed", "it hangs at an angle")


def test_of_a_kind_that_nobody_knows_only_what_holds_of_all_is_checked() -> None:
    suite = Suite("planted")
    assert outcome(suite, "ornament/straight:deepcopy").status == "ok"
    unknown = outcome(suite, "ornament/straight:no-state")
    assert unknown.status == "not applicable"
    assert "how parts of kind ornament are used" in unknown.reason


def test_a_check_runs_once() -> None:
    suite, runs = Suite("planted"), list[int]()
    case = suite.cases["codec/sound:descriptor"]
    counted = Case(case.subject, type(case.check)("descriptor", "", lambda _: runs.append(1)))
    suite.cases = {**suite.cases, case.id: counted}
    suite.run(counted)
    suite.run(suite.cases["codec/sound:builds"])
    assert runs == [1]


@pytest.fixture
def few(planted_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `planted`, the checks of its codecs alone."""
    every = Suite._all

    def chosen(self: Suite, examples: object) -> list[Case]:
        wanted = ("codec/sound:", "codec/lossy:")
        return [case for case in every(self, {}) if case.id.startswith(wanted)]

    monkeypatch.setattr(Suite, "_all", chosen)


@pytest.mark.thorough
@pytest.mark.usefixtures("few")
def test_the_command_prints_a_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["test-plugin", "planted"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "codec/sound:builds: ok" in lines
    assert "codec/sound:config-round-trip: not applicable: it has no parameters" in lines
    assert any(line.startswith(f"{LOSSY}: failed: an image comes back with values") for line in lines)
    assert lines[-1].startswith("planted: ")
    assert "1 failed" in lines[-1]


def test_the_command_counts_what_one_cause_keeps_from_running(
    planted_site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = Suite._all
    monkeypatch.setattr(
        Suite, "_all", lambda self, _: [case for case in every(self, {}) if "unbuilt" in case.id]
    )
    cli.main(["test-plugin", "planted"])
    descriptor, builds, behind, *_, count = capsys.readouterr().out.splitlines()
    assert descriptor == "codec/unbuilt:descriptor: ok"
    assert builds.startswith("codec/unbuilt:builds: failed: ")
    number = behind.removeprefix("codec/unbuilt: ").partition(" ")[0]
    assert behind == f"codec/unbuilt: {number} checks not applicable: builds comes first, and fails"
    assert count == f"planted: 1 ok, 1 failed, {number} not applicable"
    cli.main(["test-plugin", "planted", "--json"])
    assert len(json.loads(capsys.readouterr().out)["checks"]) == int(number) + 2


@pytest.mark.usefixtures("few")
def test_the_command_takes_a_file_of_expected_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected.yaml"
    file.write_text(f"{LOSSY}: it saves space\n", encoding="utf-8")
    assert cli.main(["test-plugin", "planted", "--json", "--expected-failures", str(file)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["distribution"], document["passed"]) == ("planted", True)
    assert {"id": LOSSY, "status": "expected failure", "reason": "it saves space"} in document["checks"]


@pytest.mark.parametrize("text", ["- a list", "a: [1]", "{"])
def test_a_file_that_is_no_mapping_of_reasons_is_an_error(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected.yaml"
    file.write_text(text, encoding="utf-8")
    assert cli.main(["test-plugin", "planted", "--expected-failures", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_authors_run_the_same_checks_with_pytest() -> None:
    """Each under its id: passed, failed with the reason, skipped, or failed as expected."""

    @parametrize_with_checks(
        "planted", expected_failures={LOSSY: "it saves space", "codec/sound:builds": "it never did"}
    )
    def test_contract(check: Callable[[], None]) -> None:
        check()

    (mark,) = test_contract.pytestmark  # type: ignore[attr-defined]
    names, parameters = mark.args
    assert names == "check"
    checks = {parameter.id: parameter.values[0] for parameter in parameters}
    assert repr(checks["codec/sound:builds"]).startswith("<check codec/sound:builds: It is built from")
    checks["codec/sound:shapes"]()
    with pytest.raises(pytest.fail.Exception, match=r"it was expected to fail .it never did."):
        checks["codec/sound:builds"]()
    with pytest.raises(pytest.skip.Exception, match="it has no parameters"):
        checks["codec/sound:config-round-trip"]()
    with pytest.raises(pytest.xfail.Exception, match="it saves space"):
        checks[LOSSY]()


def test_without_pytest_an_author_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(KitError, match="pip install pytest"):
        parametrize_with_checks("planted")
