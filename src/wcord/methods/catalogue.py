"""The methods by name: what each is, where it comes from, its weight and what it needs. Imports nothing heavy."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MethodInfo:
    """One method; names add up, as in `wcord+kd`.

    Attributes:
        title: the method in a few words.
        paper: where it was published.
        year: the year of publication.
        weight: the factor of its terms in a sum, from the paper unless the docs say otherwise.
        needs: the requirements on data and networks, in words.
        checked: the references of its value, beside closed forms and finite differences.
        term: module and class of its term, which has the name of the method.
        terms: name → (factor, module and class) for a method of several terms, or whose term has another name.
        options: options that differ from the defaults of the loss.
        cross_entropy: the factor of the cross-entropy in a sum that contains this method.
        alone: factors of (cross-entropy, method) if the paper weighs the method differently when it is used alone.
        adapt_student: module and function that turns the student into another network before training, which is then
            the one that is shipped, built by `create_model("METHOD:STUDENT:TEACHER")`; None keeps the student.
        adapt_teacher: module and function that adds trainable parts to a frozen teacher; None leaves it as it is. Its
            keyword-only arguments are options of the method.
    """

    title: str
    paper: str
    year: int
    weight: float
    needs: str
    checked: str
    term: str = ""
    terms: dict[str, tuple[float, str]] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    cross_entropy: float = 1.0
    alone: tuple[float, float] | None = None
    adapt_student: str | None = None
    adapt_teacher: str | None = None


_FEATURES = "embeddings; any classes"
_MEMORY = f"{_FEATURES}; row numbers, else a queue"
_MAPS = "maps of both; any classes"
_LOOP = "double loop"
_REPDISTILLER = f"{_LOOP}; RepDistiller, 1e-5"
_GCKT = "wcord.methods.wcord:GCKTTerm"
_LCKT = "wcord.methods.wcord:LCKTTerm"
_WCORD = "Chen et al., CVPR"
_CRD = "Tian et al., ICLR"

METHODS: dict[str, MethodInfo] = {
    "ce": MethodInfo(
        title="cross-entropy with the labels",
        paper="the plain student",
        year=2015,
        weight=1.0,
        needs="labels",
        term="wcord.methods.ce:CETerm",
        checked="closed form",
    ),
    "kd": MethodInfo(
        title="softened logits",
        paper="Hinton et al., arXiv 1503.02531,",
        year=2015,
        weight=1.0,
        needs="the same classes",
        term="wcord.methods.kd:KDTerm",
        checked=_REPDISTILLER,
        alone=(0.1, 0.9),
    ),
    "lskd": MethodInfo(
        title="logit standardization",
        paper="Sun et al., CVPR",
        year=2024,
        weight=9.0,
        needs="the same classes",
        term="wcord.methods.kd:KDTerm",
        checked=_LOOP,
        options={"temperature": 2.0, "standardize": True},
        cross_entropy=0.1,
    ),
    "fitnet": MethodInfo(
        title="regression of a hidden map",
        paper="Romero et al., ICLR",
        year=2015,
        weight=100.0,
        needs=_MAPS,
        term="wcord.methods.fitnet:FitNetTerm",
        checked=_REPDISTILLER,
    ),
    "fsp": MethodInfo(
        title="products of neighboring maps, before the main stage",
        paper="Yim et al., CVPR",
        year=2017,
        weight=50.0,
        needs=f"{_MAPS}; equal channels",
        term="wcord.methods.fsp:FSPTerm",
        checked=_REPDISTILLER,
    ),
    "at": MethodInfo(
        title="attention maps of every stage",
        paper="Zagoruyko and Komodakis, ICLR",
        year=2017,
        weight=1000.0,
        needs=_MAPS,
        term="wcord.methods.at:ATTerm",
        checked=_REPDISTILLER,
    ),
    "nst": MethodInfo(
        title="distribution of channels, polynomial kernel",
        paper="Huang and Wang, arXiv 1707.01219,",
        year=2017,
        weight=50.0,
        needs=_MAPS,
        term="wcord.methods.nst:NSTTerm",
        checked=_REPDISTILLER,
    ),
    "ft": MethodInfo(
        title="factors of the last maps, paraphrased",
        paper="Kim et al., NeurIPS",
        year=2018,
        weight=200.0,
        needs=_MAPS,
        term="wcord.methods.ft:FTTerm",
        checked=_REPDISTILLER,
    ),
    "pkt": MethodInfo(
        title="similarities as probabilities",
        paper="Passalis and Tefas, ECCV",
        year=2018,
        weight=30000.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.pkt:PKTTerm",
        checked=_REPDISTILLER,
    ),
    "kdsvd": MethodInfo(
        title="change of singular vectors from stage to stage",
        paper="Lee et al., ECCV",
        year=2018,
        weight=1.0,
        needs=f"{_MAPS}; equal channels",
        term="wcord.methods.kdsvd:KDSVDTerm",
        checked=f"{_REPDISTILLER}, up to the sign of singular vectors",
    ),
    "ab": MethodInfo(
        title="activation boundaries, before the main stage",
        paper="Heo et al., AAAI",
        year=2019,
        weight=1.0,
        needs=f"{_MAPS}, before their ReLU",
        term="wcord.methods.ab:ABTerm",
        checked=_REPDISTILLER,
    ),
    "ofd": MethodInfo(
        title="overhaul: margin ReLU, partial distance",
        paper="Heo et al., ICCV",
        year=2019,
        weight=0.001,
        needs=f"{_MAPS}, before their ReLU; a teacher with BN",
        term="wcord.methods.ofd:OFDTerm",
        checked=f"{_LOOP}; authors and mdistiller, 1e-5",
    ),
    "sp": MethodInfo(
        title="similarities inside the batch",
        paper="Tung and Mori, ICCV",
        year=2019,
        weight=3000.0,
        needs=f"{_MAPS}; batches ≥ 2",
        term="wcord.methods.sp:SPTerm",
        checked=_REPDISTILLER,
    ),
    "cc": MethodInfo(
        title="congruence of neighbors in the batch",
        paper="Peng et al., ICCV",
        year=2019,
        weight=0.02,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.cc:CCTerm",
        checked=_REPDISTILLER,
    ),
    "vid": MethodInfo(
        title="bound on the information between maps",
        paper="Ahn et al., CVPR",
        year=2019,
        weight=1.0,
        needs=_MAPS,
        term="wcord.methods.vid:VIDTerm",
        checked=_REPDISTILLER,
    ),
    "rkd": MethodInfo(
        title="distances and angles between samples",
        paper="Park et al., CVPR",
        year=2019,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.rkd:RKDTerm",
        checked=_REPDISTILLER,
    ),
    "reviewkd": MethodInfo(
        title="knowledge review: fused stages, hierarchical loss",
        paper="Chen et al., CVPR",
        year=2021,
        weight=5.0,
        needs=f"{_MAPS}; batches ≥ 2",
        term="wcord.methods.reviewkd:ReviewKDTerm",
        checked=f"{_LOOP}; authors, 1e-5",
    ),
    "ickd": MethodInfo(
        title="products between the channels of the last map",
        paper="Liu et al., ICCV",
        year=2021,
        weight=2.5,
        needs=_MAPS,
        term="wcord.methods.ickd:ICKDTerm",
        checked=f"{_LOOP}; authors, 1e-6",
    ),
    "simkd": MethodInfo(
        title="the teacher's classifier reused (another network is shipped)",
        paper="Chen et al., CVPR",
        year=2022,
        weight=1.0,
        needs="the same classes; a last map that is averaged",
        term="wcord.methods.simkd:SimKDTerm",
        checked="authors, 1e-5",
        cross_entropy=0.0,
        adapt_student="wcord.methods.simkd:adapt_student",
    ),
    "dkd": MethodInfo(
        title="target and other classes apart",
        paper="Zhao et al., CVPR",
        year=2022,
        weight=1.0,
        needs="the same classes",
        term="wcord.methods.dkd:DKDTerm",
        checked=f"{_LOOP}; mdistiller, 1e-9",
    ),
    "dist": MethodInfo(
        title="correlated predictions",
        paper="Huang et al., NeurIPS",
        year=2022,
        weight=2.0,
        needs="the same classes; batches ≥ 2",
        term="wcord.methods.dist:DISTTerm",
        checked=f"{_LOOP}; authors, 1e-6",
        options={"temperature": 4.0},
    ),
    "ttm": MethodInfo(
        title="power-transformed teacher",
        paper="Zheng and Yang, ICLR",
        year=2024,
        weight=45.0,
        needs="the same classes",
        term="wcord.methods.ttm:TTMTerm",
        checked=f"{_LOOP}; authors, 1e-9",
    ),
    "wttm": MethodInfo(
        title="power-transformed teacher, weighted",
        paper="Zheng and Yang, ICLR",
        year=2024,
        weight=4.0,
        needs="the same classes",
        term="wcord.methods.ttm:WTTMTerm",
        checked=f"{_LOOP}; authors, 1e-9",
    ),
    "wkd-l": MethodInfo(
        title="transport of predictions over classes",
        paper="Lv et al., NeurIPS",
        year=2024,
        weight=1.0,
        needs="the same classes; a linear classifier",
        term="wcord.methods.wkd:WKDLogitTerm",
        checked="POT; authors at convergence, 1e-6",
    ),
    "wkd-f": MethodInfo(
        title="Gaussians of a map's positions",
        paper="Lv et al., NeurIPS",
        year=2024,
        weight=0.08,
        needs=_MAPS,
        term="wcord.methods.wkd:WKDFeatureTerm",
        checked=f"{_LOOP}; authors, 1e-9",
    ),
    "rsd": MethodInfo(
        title="correlations between the networks' dimensions",
        paper="Zhang et al., ICCV",
        year=2025,
        weight=0.1,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.rsd:RSDTerm",
        checked=f"{_LOOP}; weight and head's width are ours",
    ),
    "infonce": MethodInfo(
        title="contrastive, inside the batch",
        paper="van den Oord et al., arXiv 1807.03748,",
        year=2018,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.infonce:InfoNCETerm",
        checked=f"{_LOOP}; cross-entropy of the similarities",
    ),
    "crd": MethodInfo(
        title="contrastive, memory of the training set",
        paper=_CRD,
        year=2020,
        weight=0.8,
        needs=f"{_FEATURES}; row numbers",
        term="wcord.methods.crd:CRDTerm",
        checked=f"{_LOOP}; RepDistiller's golden value",
        options={"negatives": "other_class"},
    ),
    "crd-std": MethodInfo(
        title="CRD on standardized features (our addition)",
        paper=_CRD,
        year=2020,
        weight=0.8,
        needs=f"{_FEATURES}; row numbers",
        term="wcord.methods.crd:CRDTerm",
        checked=_LOOP,
        options={"negatives": "other_class", "standardize": True},
    ),
    "gckt": MethodInfo(
        title="WCoRD's global part: contrast under a 1-Lipschitz critic",
        paper=_WCORD,
        year=2021,
        weight=1.0,
        needs=_MEMORY,
        terms={"gckt": (0.8, _GCKT)},
        checked=f"{_LOOP}; POT",
    ),
    "lckt": MethodInfo(
        title="WCoRD's local part: transport inside the batch",
        paper=_WCORD,
        year=2021,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        terms={"lckt": (0.05, _LCKT)},
        checked=f"{_LOOP}; POT",
    ),
    "wcord": MethodInfo(
        title="both parts: 0.8 gckt + 0.05 lckt",
        paper=_WCORD,
        year=2021,
        weight=1.0,
        needs=f"{_MEMORY}; batches ≥ 2",
        terms={"gckt": (0.8, _GCKT), "lckt": (0.05, _LCKT)},
        checked=f"{_LOOP}; POT",
    ),
    "lckt-a": MethodInfo(
        title="transport anchored at the pairs of the batch",
        paper="this project, after WCoRD",
        year=2026,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        terms={"lckt": (10.0, _LCKT)},
        checked=f"{_LOOP}; POT",
        options={"anchor": 0.5, "lckt_standardize": True},
    ),
    "wcord-a": MethodInfo(
        title="0.8 gckt + 10 anchored transport",
        paper="this project, after WCoRD",
        year=2026,
        weight=1.0,
        needs=f"{_MEMORY}; batches ≥ 2",
        terms={"gckt": (0.8, _GCKT), "lckt": (10.0, _LCKT)},
        checked=f"{_LOOP}; POT",
        options={"anchor": 0.5, "lckt_standardize": True},
    ),
}
"""Name → method."""
