"""Routes about the project as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from medprism import __version__
from medprism.apps.workbench.access import COOKIE, is_token
from medprism.apps.workbench.failure import Failure
from medprism.apps.workbench.routes.given import Author, Bench
from medprism.apps.workbench.schemas import Login, SettingsChange
from medprism.project.export import EXPORT_FORMATS
from medprism.training.finetune import LEAST_MASKS

router = APIRouter(prefix="/api", tags=["project"])


@router.post("/login", status_code=204, summary="Trade the token for a cookie")
def login(bench: Bench, body: Login) -> Response:
    """Check the token and set the cookie, so that pictures and events can be fetched by tags."""
    expected = bench.settings.token
    if not is_token(body.token, expected):
        wrong = Failure(401, "wrong_token", "the token is not that of this server")
        return JSONResponse(wrong.body(), status_code=wrong.status)
    response = Response(status_code=204)
    response.set_cookie(COOKIE, expected or "", httponly=True, samesite="strict")
    return response


@router.get("/project", summary="The project, the model and the limits")
def show_project(bench: Bench, author: Author) -> dict[str, Any]:
    """Return what a client needs to know at its start."""
    model = bench.model
    accepts = model.segmenter.accepts
    return {
        "name": bench.project.name,
        "version": __version__,
        "images": bench.project.images.counts(),
        "model": {
            "name": bench.model_name,
            "checkpoint": bench.checkpoint,
            "classes": len(model.concepts) if accepts.classes else 0,
            "accepts": asdict(accepts),
            "long_side": model.long_side,
            "card": _without_digests(model.card),
        },
        "settings": asdict(bench.project.preferences.read()),
        "formats": list(EXPORT_FORMATS),
        "limits": {
            "upload_bytes": bench.settings.upload_bytes,
            "sessions": bench.settings.max_sessions,
            "lease_seconds": bench.settings.lease_seconds,
            "training_masks": LEAST_MASKS,
        },
        "notice": bench.notice,
        "author": author,
    }


@router.get("/classes", summary="Classes of the model")
def find_classes(
    bench: Bench, query: Annotated[str, Query(max_length=100, examples=["kidney"])] = ""
) -> dict[str, Any]:
    """Return the classes whose name or synonym contains a text; none for a model without."""
    wanted = query.strip().casefold()
    concepts = bench.model.concepts.concepts if bench.model.segmenter.accepts.classes else ()
    return {
        "classes": [
            {"name": one.name, "synonyms": list(one.synonyms)}
            for one in concepts
            if any(wanted in name.casefold() for name in (one.name, *one.synonyms))
        ]
    }


@router.patch("/settings", summary="Change settings of the project")
def change_settings(bench: Bench, body: SettingsChange) -> dict[str, Any]:
    """Change what is given and return all settings."""
    return asdict(bench.project.preferences.change(body.model_dump(exclude_none=True)))


def _without_digests(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card without the digests of the masks of trainings, of which there may be many."""
    training = dict(card.get("training", {}))
    trained = [
        {key: value for key, value in one.items() if key != "masks"}
        for one in training.get("fine_tunings", ())
    ]
    return {**card, "training": {**training, "fine_tunings": trained}} if trained else dict(card)
