"""The methods by name: what each is, where it comes from, its weight and what it needs. Imports nothing heavy."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MethodInfo:
    """One summand that a method's name can hold.

    Attributes:
        title: the method in a few words.
        paper: where it was published.
        year: when.
        weight: the factor of its term in a sum, from the paper unless the docs say otherwise.
        needs: what the data and the networks must give, in words.
        term: module and class of the term that computes it.
        checked: what its value was checked against, beside closed forms and finite differences.
        options: what this name sets differently from the defaults of the loss.
        cross_entropy: the factor of the cross-entropy in a sum that holds this summand.
        alone: (cross-entropy, own) factors where the paper weighs the method differently when it stands alone.
        changes_student: the network that is shipped is another one than the named student.
    """

    title: str
    paper: str
    year: int
    weight: float
    needs: str
    term: str
    checked: str
    options: dict[str, object] = field(default_factory=dict)
    cross_entropy: float = 1.0
    alone: tuple[float, float] | None = None
    changes_student: bool = False


_FEATURES = "embeddings; any classes"
_MEMORY = f"{_FEATURES}; row numbers, else a queue"
_LOOP = "double loop"
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
        checked=f"{_LOOP}; RepDistiller",
        alone=(0.1, 0.9),
    ),
    "lskd": MethodInfo(
        title="logit standardisation",
        paper="Sun et al., CVPR",
        year=2024,
        weight=9.0,
        needs="the same classes",
        term="wcord.methods.kd:KDTerm",
        checked=_LOOP,
        options={"temperature": 2.0, "standardize": True},
        cross_entropy=0.1,
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
        title="CRD on standardised features (our addition)",
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
        term="wcord.methods.wcord:WCoRDTerm",
        checked=f"{_LOOP}; POT",
        options={"lckt_weight": 0.0},
    ),
    "lckt": MethodInfo(
        title="WCoRD's local part: transport inside the batch",
        paper=_WCORD,
        year=2021,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.wcord:WCoRDTerm",
        checked=f"{_LOOP}; POT",
        options={"gckt_weight": 0.0},
    ),
    "wcord": MethodInfo(
        title="both parts: 0.8 gckt + 0.05 lckt",
        paper=_WCORD,
        year=2021,
        weight=1.0,
        needs=f"{_MEMORY}; batches ≥ 2",
        term="wcord.methods.wcord:WCoRDTerm",
        checked=f"{_LOOP}; POT",
    ),
    "lckt-a": MethodInfo(
        title="transport anchored at the pairs of the batch",
        paper="this project, after WCoRD",
        year=2026,
        weight=1.0,
        needs=f"{_FEATURES}; batches ≥ 2",
        term="wcord.methods.wcord:WCoRDTerm",
        checked=f"{_LOOP}; POT",
        options={"gckt_weight": 0.0, "lckt_weight": 5.0, "anchor": 0.5, "lckt_standardize": True},
    ),
    "wcord-a": MethodInfo(
        title="0.8 gckt + 3 anchored transport",
        paper="this project, after WCoRD",
        year=2026,
        weight=1.0,
        needs=f"{_MEMORY}; batches ≥ 2",
        term="wcord.methods.wcord:WCoRDTerm",
        checked=f"{_LOOP}; POT",
        options={"lckt_weight": 3.0, "anchor": 0.5, "lckt_standardize": True},
    ),
}
"""What a method's name may hold; `+` adds summands: wcord+kd."""
