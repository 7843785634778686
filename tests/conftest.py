"""The files of tests that take longest begin first, so that no worker waits at the end for one that began late."""

LONGEST = (
    "test_agree_networks",
    "test_run_step",
    "test_kill",
    "test_diffusion_families",
    "test_procedural",
    "test_demo",
    "test_zip",
    "test_refine",
    "test_job",
    "test_whose_job",
    "test_torture",
    "test_cluster",
    "test_serve",
    "test_cuda_raster",
    "test_cuda_fit",
    "test_readiness",
    "test_remote",
    "test_levels_live",
    "test_killed",
)
"""From the table that `scripts/test.py` prints at its end. A file that is missing here only begins later."""


def pytest_collection_modifyitems(items):
    """Sort by file; the tests of a file keep their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
