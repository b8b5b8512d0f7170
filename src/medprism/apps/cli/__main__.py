"""`python -m medprism.apps.cli` is `medprism`."""

from medprism.apps.cli.main import run

run()
