"""Labels of a project, made by several people at once."""

from concurrent.futures import ThreadPoolExecutor

from medprism.project.project import Project


def test_many_who_make_the_same_label_at_once_get_one(project: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda number: project.labels.ensure(f"organ {number % 2}"), range(64))
        )
    assert len({record.id for record in made}) == 2
    assert {record.name for record in made} == {"organ 0", "organ 1"}
