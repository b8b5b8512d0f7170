from medprism.data.datasets.adapters import PUBLISHED
from tests.apps.conftest import Command


def test_every_published_set_is_listed(medprism: Command) -> None:
    ended = medprism("data", "list")
    assert ended.status == 0
    rows = ended.out.splitlines()
    assert [row.split()[0] for row in rows] == list(PUBLISHED)
    kits = next(row for row in rows if row.startswith("kits19"))
    assert kits.split() == ["kits19", "CT", "CC", "BY-NC-SA", "https://kits19.grand-challenge.org"]


def test_programs_get_json_and_the_page_its_table(medprism: Command) -> None:
    found = {one["name"]: one for one in medprism("data", "list", "--json").json()["datasets"]}
    assert found["bkai_igh"]["concepts"] == {"polyp": [1, 2]}
    assert found["uwaterloo_skin"]["licence"].startswith("non-commercial use")
    assert found["isic2018"]["licence"] == "CC BY-NC 4.0"
    assert found["isic2018"]["licence_source"] == "https://challenge.isic-archive.com/data/#2018"
    assert medprism("data", "list", "--markdown").out.startswith("| name | data |")
