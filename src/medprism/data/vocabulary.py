"""The shared vocabulary: which label ids of which dataset are the same structure.

Literal data on purpose. An entry names a structure once, whatever a dataset calls it, and says

- `trained`: the label ids that together form it in each training set that labels it exhaustively
  (where it has no pixel, it is not there);
- `partial`: training sets that label it on some images only: good as a target, never as "absent";
- `external`: sets from other sources, never trained on, for evaluation.

The order of `_TRAINED` is the order of the class table: append, never reorder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError
from medprism.data.case import DatasetInfo
from medprism.data.datasets.adapters import PUBLISHED

LabelIds = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """One structure of the vocabulary; see the module for the three kinds of datasets."""

    name: str
    synonyms: tuple[str, ...] = ()
    trained: LabelIds = field(default_factory=dict)
    partial: LabelIds = field(default_factory=dict)
    external: LabelIds = field(default_factory=dict)


_TRAINED: Final[tuple[Entry, ...]] = (
    # heart and great vessels
    Entry(
        "left ventricle",
        ("left ventricle cavity", "left ventricular cavity", "lv"),
        {"acdc_cardiac_mri": (3,), "mt_hocm_heart_ct": (5,), "mt_imagechd_heart_ct": (1,)},
        external={"mscmr_lge_cardiac_mri": (3,)},
    ),
    Entry(
        "right ventricle",
        ("right ventricle cavity", "right ventricular cavity", "rv"),
        {"acdc_cardiac_mri": (1,), "mt_imagechd_heart_ct": (2,)},
        external={"mscmr_lge_cardiac_mri": (1,)},
    ),
    Entry(
        "myocardium",
        ("left ventricular myocardium", "heart muscle"),
        {"acdc_cardiac_mri": (2,), "mt_hocm_heart_ct": (6,), "mt_imagechd_heart_ct": (5,)},
        external={"mscmr_lge_cardiac_mri": (2,)},
    ),
    Entry(
        "left atrium",
        ("left atrium cavity", "left atrial cavity"),
        {"la2018_left_atrium_mri": (1,), "mt_hocm_heart_ct": (4,), "mt_imagechd_heart_ct": (3,)},
        external={"mt_msd_left_atrium_mri": (1,)},
    ),
    Entry("right atrium", ("right atrium cavity",), {"mt_imagechd_heart_ct": (4,)}),
    Entry(
        # mt_hocm_heart_ct calls its label "ascending aorta" but paints the descending one as well.
        "aorta",
        ("aortic vessel tree", "ascending aorta"),
        {"mt_avt_aorta_ct": (1,), "mt_hocm_heart_ct": (3,), "mt_imagechd_heart_ct": (6,)},
    ),
    Entry("pulmonary artery", ("pulmonary trunk",), {"mt_imagechd_heart_ct": (7,)}),
    Entry("aortic valve", (), {"mt_hocm_heart_ct": (1,)}),
    Entry("mitral valve", (), {"mt_hocm_heart_ct": (2,)}),
    Entry("excised myocardium", ("septal myectomy",), {"mt_hocm_heart_ct": (7,)}),
    Entry("heart", ("whole heart",), {"mt_chest_ct_lung_heart": (2,)}),
    # chest
    Entry(
        "lung",
        ("lungs",),
        {"lung_cxr": (1,), "mt_chest_ct_lung_heart": (1,)},
        external={"covid_cxr": (1, 2)},
    ),
    Entry("trachea", ("windpipe",), {"mt_chest_ct_lung_heart": (3,)}),
    Entry("lung tumour", ("lung tumor", "lung nodule"), {"mt_msd_lung_tumour_ct": (1,)}),
    Entry("lung vessel", ("pulmonary vessel",), {"mt_pulmonary_vessels_ct": (1, 2)}),
    Entry("lung artery", ("intrapulmonary artery",), {"mt_pulmonary_vessels_ct": (1,)}),
    Entry("lung vein", ("pulmonary vein",), {"mt_pulmonary_vessels_ct": (2,)}),
    Entry(
        "breast lesion",
        ("breast tumour", "breast tumor", "breast mass"),
        {"bus_uc": (1,), "busi_mini": (1,), "mammo_mass": (1,)},
        external={"bus_bra": (1,), "stu_bus": (1,)},
    ),
    # abdomen and pelvis
    Entry(
        "liver",
        (),
        {"mt_curvas_abdomen_ct": (3,)},
        external={"mt_chaos_liver_ct": (1,), "mt_ircad_liver_ct": (1,)},
    ),
    Entry(
        # With its tumour, as the KiTS challenge counts the organ.
        "kidney",
        ("kidneys",),
        {"mt_curvas_abdomen_ct": (2,), "mt_kidney_t2_mri": (1,), "mt_kits19_kidney_ct": (1, 2)},
    ),
    Entry("kidney tumour", ("kidney tumor", "renal tumour"), {"mt_kits19_kidney_ct": (2,)}),
    Entry(
        "pancreas",
        (),
        {"mt_curvas_abdomen_ct": (1,)},
        external={"mt_panther_pancreas_mri": (2,)},
    ),
    Entry("liver mass", ("liver lesion", "liver tumour"), {"liver_us": (1,)}),
    Entry("small bowel", ("small intestine",), {"mt_uwm_gi_mri": (1,)}),
    Entry("large bowel", ("large intestine", "colon"), {"mt_uwm_gi_mri": (2,)}),
    Entry("stomach", (), {"mt_uwm_gi_mri": (3,)}),
    Entry(
        "prostate central gland",
        ("prostate transition zone", "prostate central gland / transition zone"),
        {"mt_prostate158_mri": (1,)},
    ),
    Entry("prostate tumour", ("prostate tumor", "prostate cancer"), {"mt_prostate158_mri": (2,)}),
    Entry("fetal head", ("foetal head",), {"hc18": (1,)}),
    # brain
    Entry(
        "hippocampus",
        (),
        {
            "msd_hippocampus_mri": (1, 2),
            "miccai2012_oasis_brain_mri": (8,),
            "mt_pardoe_hippo_mri": (2,),
        },
    ),
    Entry("anterior hippocampus", ("hippocampal head",), {"msd_hippocampus_mri": (1,)}),
    Entry("posterior hippocampus", ("hippocampal body and tail",), {"msd_hippocampus_mri": (2,)}),
    Entry("amygdala", (), {"miccai2012_oasis_brain_mri": (9,), "mt_pardoe_hippo_mri": (1,)}),
    Entry(
        "cortical grey matter",
        ("cerebral cortex", "cortical gray matter"),
        {"miccai2012_oasis_brain_mri": (1,)},
    ),
    Entry("cerebral white matter", (), {"miccai2012_oasis_brain_mri": (2,)}),
    Entry("lateral ventricle", ("lateral ventricles",), {"miccai2012_oasis_brain_mri": (3,)}),
    Entry("thalamus", (), {"miccai2012_oasis_brain_mri": (4,)}),
    Entry("caudate", ("caudate nucleus",), {"miccai2012_oasis_brain_mri": (5,)}),
    Entry("putamen", (), {"miccai2012_oasis_brain_mri": (6,)}),
    Entry("pallidum", ("globus pallidus",), {"miccai2012_oasis_brain_mri": (7,)}),
    Entry("accumbens", ("nucleus accumbens",), {"miccai2012_oasis_brain_mri": (10,)}),
    Entry("brain stem", ("brainstem",), {"miccai2012_oasis_brain_mri": (11,)}),
    Entry("cerebellum", (), {"miccai2012_oasis_brain_mri": (12, 13)}),
    Entry(
        "cerebellum grey matter",
        ("cerebellar cortex", "cerebellum gray matter"),
        {"miccai2012_oasis_brain_mri": (12,)},
    ),
    Entry("cerebellum white matter", (), {"miccai2012_oasis_brain_mri": (13,)}),
    Entry("third and fourth ventricle", (), {"miccai2012_oasis_brain_mri": (14,)}),
    Entry("ventral diencephalon", ("ventral DC",), {"miccai2012_oasis_brain_mri": (15,)}),
    Entry(
        "multiple sclerosis lesion",
        ("ms lesion", "ms white matter lesion"),
        {"mt_ms_flair_mri": (1,)},
        external={"open_ms_mni_mri": (1,)},
    ),
    Entry(
        # The solid tumour: BraTS necrosis and enhancing part, without the oedema around it.
        "brain tumour",
        ("brain tumor", "brain tumour core"),
        {"mt_brats2023_mri": (1, 3), "mt_brisc2025_mri": (1, 2, 3)},
    ),
    Entry(
        "necrotic tumour core",
        ("brain tumour necrosis", "brats label 1 (necrotic core)"),
        {"mt_brats2023_mri": (1,)},
    ),
    Entry(
        "peritumoural oedema",
        ("brain oedema", "brain edema", "brats label 2 (oedema)"),
        {"mt_brats2023_mri": (2,)},
    ),
    Entry("enhancing tumour", ("brats label 3/4 (enhancing tumour)",), {"mt_brats2023_mri": (3,)}),
    Entry("meningioma", (), {"mt_brisc2025_mri": (1,)}),
    Entry("glioma", (), {"mt_brisc2025_mri": (2,)}),
    Entry("pituitary tumour", ("pituitary tumor",), {"mt_brisc2025_mri": (3,)}),
    Entry("ischaemic core", ("ischemic core", "infarct core"), {"mt_cpaisd_stroke_ct": (1,)}),
    Entry("penumbra", ("ischaemic penumbra",), {"mt_cpaisd_stroke_ct": (2,)}),
    # spine and bones
    Entry("vertebra", ("vertebrae",), {"mt_spider_lumbar_mri": (1, 2, 3, 4, 5, 6, 7)}),
    Entry("vertebra L5", (), {"mt_spider_lumbar_mri": (1,)}),
    Entry("vertebra L4", (), {"mt_spider_lumbar_mri": (2,)}),
    Entry("vertebra L3", (), {"mt_spider_lumbar_mri": (3,)}),
    Entry("vertebra L2", (), {"mt_spider_lumbar_mri": (4,)}),
    Entry("vertebra L1", (), {"mt_spider_lumbar_mri": (5,)}),
    Entry("vertebra T12", (), {"mt_spider_lumbar_mri": (6,)}),
    Entry("vertebrae above T12", ("vertebrae upper",), {"mt_spider_lumbar_mri": (7,)}),
    Entry("spinal canal", (), {"mt_spider_lumbar_mri": (8,)}),
    Entry(
        "intervertebral disc",
        ("intervertebral discs", "spinal disc"),
        {"mt_spider_lumbar_mri": (10, 11, 12, 13, 14, 15, 16)},
    ),
    Entry("disc L5-S1", (), {"mt_spider_lumbar_mri": (10,)}),
    Entry("disc L4-L5", (), {"mt_spider_lumbar_mri": (11,)}),
    Entry("disc L3-L4", (), {"mt_spider_lumbar_mri": (12,)}),
    Entry("disc L2-L3", (), {"mt_spider_lumbar_mri": (13,)}),
    Entry("disc L1-L2", (), {"mt_spider_lumbar_mri": (14,)}),
    Entry("disc T12-L1", (), {"mt_spider_lumbar_mri": (15,)}),
    Entry("discs above T12", ("discs upper",), {"mt_spider_lumbar_mri": (16,)}),
    Entry("knee bone", ("knee bones", "knee bone (femur/tibia/patella)"), {"mt_knee_bones": (1,)}),
    # eye
    Entry(
        "retinal vessel",
        ("retinal vessels", "retinal blood vessel"),
        {"drive": (1,), "hrf_vessel": (1,)},
        external={"chase_db1": (1,), "fives_vessel": (1,)},
    ),
    Entry(
        # Rim and cup together are the disc where a set splits it.
        "optic disc",
        ("optic disk", "optic nerve head"),
        {"drishti_gs": (1, 2), "smdg_glaucoma": (1, 2), "idrid_od": (1,)},
    ),
    Entry("optic cup", (), {"drishti_gs": (2,), "smdg_glaucoma": (2,)}),
    Entry("hard exudate", ("hard exudates",), {"idrid_hardex": (1,)}),
    Entry("foveal avascular zone", ("faz",), {"faz_octa": (1,)}),
    # endoscopy and skin
    Entry(
        "polyp",
        ("colon polyp", "colorectal polyp"),
        {"kvasir_seg": (1,)},
        # Overlapping findings are flattened in edd2020, so one may hide another altogether.
        partial={"edd2020": (4,)},
        external={"colondb_polyp": (1,), "endoscene_polyp": (1,), "etis_polyp": (1,)},
    ),
    Entry("Barrett's oesophagus", ("barretts esophagus",), partial={"edd2020": (1,)}),
    Entry("endoscopic cancer", ("gastrointestinal cancer",), partial={"edd2020": (2,)}),
    Entry("high grade dysplasia", (), partial={"edd2020": (3,)}),
    Entry("suspicious area", ("suspicious mucosa",), partial={"edd2020": (5,)}),
    Entry("vocal folds", ("vocal cords",), {"vocalfolds": (1,)}),
    Entry("laryngeal tissue", ("other laryngeal tissue",), {"vocalfolds": (2,)}),
    Entry("glottal space", ("glottis",), {"vocalfolds": (3,)}),
    Entry("laryngeal pathology", ("vocal fold pathology",), {"vocalfolds": (4,)}),
    Entry("surgical tool", ("surgical instrument",), {"vocalfolds": (5,)}),
    Entry("intubation", ("endotracheal tube",), {"vocalfolds": (6,)}),
    Entry("skin lesion", ("melanocytic lesion",), {"ph2": (1,)}),
    Entry("foot ulcer", ("diabetic foot ulcer", "wound"), {"fuseg": (1,)}),
    # microscopy
    Entry(
        "nucleus",
        ("cell nucleus", "nuclei"),
        {"dsb2018": (1,), "tnbc": (1,), "nuinsseg_oeso": (1,)},
    ),
    Entry(
        "white blood cell",
        ("leukocyte", "white cell"),
        {"krd_wbc": (1,), "wbc1": (1, 2)},
        external={"wbc2": (1, 2)},
    ),
    Entry("white cell nucleus", ("leukocyte nucleus",), {"wbc1": (2,)}, external={"wbc2": (2,)}),
    Entry(
        "white cell cytoplasm", ("leukocyte cytoplasm",), {"wbc1": (1,)}, external={"wbc2": (1,)}
    ),
    Entry("glomerulus", ("glomeruli",), {"glomeruli": (1,)}),
    Entry("colorectal gland", ("colorectal gland (polyp class tissue)",), {"ebhi_crc": (1,)}),
    # prostate_gland is two tasks: each class is labelled only on the images made for it.
    Entry("prostate gland", (), partial={"prostate_gland": (1,)}),
    Entry(
        "prostate carcinoma region", ("prostate tumour region",), partial={"prostate_gland": (2,)}
    ),
)

_UNSEEN: Final[tuple[Entry, ...]] = (
    Entry("carotid artery lumen", ("carotid artery",), external={"carotid_us": (1,)}),
    Entry("cardiomediastinum", ("heart and mediastinum",), external={"covid_cxr": (3,)}),
    Entry("airways", ("airway",), external={"covid_cxr": (4,)}),
    Entry("cell membrane", ("neuronal membrane",), external={"isbi_em": (1,)}),
    Entry("mandible", ("lower jaw",), external={"mt_mandible_ct": (1,)}),
    Entry("epidural haematoma", ("epidural hematoma",), external={"mt_mbh_brain_ct": (1,)}),
    Entry("intraparenchymal haemorrhage", (), external={"mt_mbh_brain_ct": (2,)}),
    Entry("intraventricular haemorrhage", (), external={"mt_mbh_brain_ct": (3,)}),
    Entry("subarachnoid haemorrhage", (), external={"mt_mbh_brain_ct": (4,)}),
    Entry("subdural haematoma", ("subdural hematoma",), external={"mt_mbh_brain_ct": (5,)}),
    Entry("nasopharyngeal carcinoma", (), external={"mt_npc_t2_mri": (1,)}),
    Entry("pancreatic tumour", ("pancreatic tumor",), external={"mt_panther_pancreas_mri": (1,)}),
    Entry("ROP demarcation ridge", ("retinopathy ridge",), external={"rop_ridge": (1,)}),
)

# Only published sets have these; `datasets.adapters.PUBLISHED` says which label ids they are.
_PUBLISHED: Final[tuple[Entry, ...]] = (
    Entry("spleen"),
    Entry("gallbladder", ("gall bladder",)),
    Entry("oesophagus", ("esophagus",)),
    Entry("duodenum"),
    Entry("inferior vena cava", ("postcava", "ivc")),
    Entry("portal and splenic vein", ("portal vein and splenic vein",)),
    Entry("spinal cord"),
    Entry("optic chiasm"),
    Entry("pituitary gland", ("pituitary",)),
    Entry("grey matter", ("gray matter",)),
    Entry("white matter"),
    Entry("cerebrospinal fluid", ("csf",)),
    Entry("sacrum"),
    Entry("hip bone", ("hip",)),
    Entry("lumbar spine", ("lumbar vertebrae",)),
    Entry("FDG-avid tumour", ("fdg-avid tumor", "fdg-avid lesion")),
    Entry("lung infection", ("covid-19 infection",)),
    Entry("thyroid nodule"),
    Entry("colorectal adenocarcinoma", ("adenocarcinoma",)),
    Entry("ellipsoid zone", ("is/os",)),
    Entry("intraretinal fluid", ("irf",)),
    Entry("subretinal fluid", ("srf",)),
    Entry("subretinal hyperreflective material", ("shrm",)),
    Entry("pigment epithelial detachment", ("ped",)),
    *(
        Entry(f"{organ}, long axis")
        for organ in ("left ventricle", "myocardium", "right ventricle")
    ),
    *(
        Entry(f"{side} {organ}")
        for organ in (
            "lung",
            "kidney",
            "adrenal gland",
            "eye",
            "lens",
            "optic nerve",
            "temporal lobe",
            "parotid gland",
            "inner ear",
            "middle ear",
            "temporomandibular joint",
            "mandible",
            "hip bone",
        )
        for side in ("left", "right")
    ),
)

_ALL: Final = ConceptTable(
    tuple(Concept(entry.name, entry.synonyms) for entry in (*_TRAINED, *_UNSEEN, *_PUBLISHED))
)

PARTIAL_LABELS: Final[Mapping[str, LabelIds]] = {
    entry.name: entry.partial for entry in _TRAINED if entry.partial
}
"""Concept -> dataset -> label ids, where a set labels the concept on some images only."""


def training_concepts() -> ConceptTable:
    """Return the class table of the shared training sets, in its fixed order.

    `Concept.label_ids` names only the sets that label the concept exhaustively; the others are in
    `PARTIAL_LABELS`.

    >>> training_concepts().row("colon polyp") == training_concepts().row("polyp")
    True
    """
    return ConceptTable(
        tuple(Concept(entry.name, entry.synonyms, dict(entry.trained)) for entry in _TRAINED)
    )


def concepts_from(infos: Iterable[DatasetInfo]) -> ConceptTable:
    """Return a class table of datasets that the vocabulary does not know: one class, one concept.

    Classes of the same name in several datasets are one concept. Order: as first met.

    >>> infos = [DatasetInfo(name, name, "train", None, {1: "Spleen"}) for name in ("a", "b")]
    >>> dict(concepts_from(infos)[0].label_ids)
    {'a': (1,), 'b': (1,)}
    """
    found: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {}
    for info in infos:
        for label_id, name in sorted(info.classes.items()):
            _, ids = found.setdefault(name.casefold(), (name, {}))
            ids[info.name] = (*ids.get(info.name, ()), label_id)
    return ConceptTable(tuple(Concept(name, (), ids) for name, ids in found.values()))


def shared_concept(name: str) -> Concept:
    """Return the concept of the vocabulary that a name or synonym means, without label ids.

    Raises:
        LabelError: the vocabulary does not have it; the message lists near ones.

    >>> shared_concept("esophagus").name
    'oesophagus'
    """
    return _ALL[_ALL.row(name)]


def published_concepts(info: DatasetInfo) -> tuple[Concept, ...]:
    """Return the concepts of a published set with its label ids; none for another set.

    >>> from medprism.data.datasets.adapters import PUBLISHED
    >>> [concept.name for concept in published_concepts(PUBLISHED["bkai_igh"].info)]
    ['polyp']
    """
    published = PUBLISHED.get(info.name)
    if published is None or published.title != info.title:
        return ()
    return tuple(
        replace(shared_concept(name), label_ids={info.name: ids})
        for name, ids in published.concepts.items()
    )


def unseen_concepts() -> ConceptTable:
    """Return the concepts that no training set has; they are evaluated, never trained.

    >>> "mandible" in unseen_concepts().names
    True
    """
    return ConceptTable(
        tuple(Concept(entry.name, entry.synonyms, dict(entry.external)) for entry in _UNSEEN)
    )


def evaluation_targets(dataset: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return (concept name, label ids) for every concept that a dataset can be evaluated on.

    Raises:
        LabelError: the vocabulary does not know the dataset.

    >>> evaluation_targets("covid_cxr")
    (('lung', (1, 2)), ('cardiomediastinum', (3,)), ('airways', (4,)))
    """
    targets = tuple(
        (entry.name, ids[dataset])
        for entry in (*_TRAINED, *_UNSEEN)
        for ids in (entry.trained, entry.partial, entry.external)
        if dataset in ids
    )
    if not targets:
        raise LabelError(
            f"the vocabulary knows no dataset {dataset!r}; known: {', '.join(known_datasets())}"
        )
    return targets


def known_datasets() -> tuple[str, ...]:
    """Return the names of all datasets that the vocabulary covers, sorted.

    >>> "acdc_cardiac_mri" in known_datasets()
    True
    """
    names = {
        dataset
        for entry in (*_TRAINED, *_UNSEEN)
        for ids in (entry.trained, entry.partial, entry.external)
        for dataset in ids
    }
    return tuple(sorted(names))
