"""Three real clusters with the platform on them, for all tests of this folder. They run in one order."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.support import lab, platform
from cluster.support.commands import LabError
from cluster.support.figures import Peak
from cluster.support.layout import CHECKOUT
from cluster.support.platform import Platform
from cluster.support.site import Play

ORDER = (
    "test_install",
    "test_running",
    "test_network",
    "test_jobs",
    "test_rollout",
    "test_killed_pods",
    "test_outages",
    "test_autoscaler",
    "test_backup",
    "test_workers",
    "test_executor",
)
FIGURES = CHECKOUT / ".cache" / "cluster" / "figures.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files in their order: what disturbs the platform least comes first."""
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else -1)


@pytest.fixture(scope="session")
def drill() -> bool:
    """Whether this run has the time for long outages and large counts: `make drill`."""
    return os.environ.get("READMISSION_DRILL") == "1"


@pytest.fixture(scope="session")
def clusters(real_dataset: Path, *, drill: bool) -> Iterator[Platform]:
    """Three clusters, and the images of this work tree in server 2's registry; nothing is deployed."""
    if found := platform.given():
        yield found
        return
    if reason := lab.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    try:
        made = platform.start(real_dataset)
    except LabError as error:
        pytest.fail(f"the lab does not start: {error}", pytrace=False)
    assert made.lab is not None
    peak = Peak(made.lab.memory)
    try:
        yield made
    finally:
        made.figures.add("The run", "peak memory of the three clusters", f"{peak.stop() / 2**30:.1f} GB")
        made.figures.write(FIGURES)
        if drill:
            (CHECKOUT / "docs" / "reliability.md").write_text(
                (Path(__file__).parent / "support" / "preface.md").read_text()
                + "\n"
                + made.figures.markdown()
            )
        if not platform.keeps():
            platform.stop(made)


@pytest.fixture(scope="session")
def check_before(clusters: Platform) -> Play:
    """What `site.yml --check` says on machines that have nothing yet."""
    return Play({}, "", 0.0) if clusters.attached else clusters.site.play("site", "--check")


@pytest.fixture(scope="session")
def first_run(clusters: Platform, check_before: Play) -> Play:  # noqa: ARG001 (it comes before)
    """The first run of `site.yml`."""
    if clusters.attached:
        return Play({}, "", 0.0)
    play = clusters.site.play("site")
    clusters.figures.add(
        "The run", "`site.yml` on empty clusters, to the first prediction", f"{play.seconds:.0f} s"
    )
    return play


@pytest.fixture(scope="session")
def running(clusters: Platform, first_run: Play) -> Platform:  # noqa: ARG001 (it deploys)
    """The platform, deployed by the first run, with a model that serves."""
    return clusters


@pytest.fixture
def lab_only(running: Platform) -> Platform:
    """The deployed platform on the lab, for tests that stop nodes or look into their networks."""
    if running.lab is None:
        pytest.skip("only the lab's own nodes can be stopped, joined and looked into")
    return running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the pods and events of each cluster to a failure's report."""
    report = yield
    found = getattr(item, "funcargs", {}).get("clusters")
    if report.when == "call" and report.failed and isinstance(found, Platform):
        for group, cluster in found.clusters.items():
            try:
                report.sections.append((f"cluster {group}", cluster.report()))
            except LabError as error:
                report.sections.append((f"cluster {group}", str(error)))
    return report
