"""The committed rights are those that the program prints."""

from pathlib import Path

import pytest

from blnk_exporter.config.settings import Own, Settings
from blnk_exporter.render import grants

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("store", "path"), [("postgres", "deploy/postgres/exporter_role.sql"), ("redis", "deploy/redis/exporter.acl")]
)
def test_the_committed_rights_agree_with_the_declarations(store: str, path: str) -> None:
    """Whoever reads them in the repository grants what the collectors really need; make docs renders them anew."""
    settings = Settings(own=Own(), blnk=None, servers=(), workers=(), postgres=(), redis=None, queues=())
    assert (ROOT / path).read_text() == grants.RENDERED[store](settings)
