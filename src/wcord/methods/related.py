"""Rows of the catalogue: related systems, and two plain comparisons. Imports nothing heavy."""

from wcord.methods.method_info import FEATURES, LOOP, MAPS, MethodInfo

RELATED: dict[str, MethodInfo] = {
    "ickd": MethodInfo(
        title="products between the channels of the last map",
        paper="Liu et al., ICCV",
        year=2021,
        weight=2.5,
        needs=MAPS,
        term="wcord.methods.ickd:ICKDTerm",
        checked=f"{LOOP}; authors, 1e-6",
    ),
    "sskd": MethodInfo(
        title="logits and similarities of rotated views",
        paper="Xu et al., ECCV",
        year=2020,
        weight=1.0,
        needs="square pictures; the same classes; labels; batches ≥ 2",
        terms={
            "sskd_kd": (0.9, "wcord.methods.kd:KDTerm"),
            "sskd_turned": (2.7, "wcord.methods.sskd:SSKDTurnedTerm"),
            "sskd_similarity": (10.0, "wcord.methods.sskd:SSKDSimilarityTerm"),
        },
        checked=f"{LOOP}; authors, 1e-5",
        cross_entropy=0.1,
    ),
    "lakd": MethodInfo(
        title="stages with gradients of their own (reconstruction)",
        paper="after Zhang et al., arXiv 2408.11478,",
        year=2024,
        weight=1.0,
        needs=MAPS,
        term="wcord.methods.lakd:LAKDTerm",
        checked=f"{LOOP} of our reading, 1e-5; its authors published no code",
        options={"alpha": 0.5},
        cross_entropy="alpha",
        reconstruction=True,
    ),
    "apt": MethodInfo(
        title="prompts in a Swin teacher, compared at centers (reconstruction)",
        paper="after Zhao et al., ACM MM",
        year=2023,
        weight=1.0,
        needs="a Swin teacher of timm; maps of the student; the same classes; labels",
        term="wcord.methods.apt:APTTerm",
        checked=f"{LOOP} of our reading, 1e-5; iRPE's index; its authors published no code",
        adapt_teacher="wcord.methods.apt:adapt_teacher",
        reconstruction=True,
    ),
    "rsd": MethodInfo(
        title="correlations between the networks' dimensions",
        paper="Zhang et al., ICCV",
        year=2025,
        weight=0.1,
        needs=f"{FEATURES}; batches ≥ 2",
        term="wcord.methods.rsd:RSDTerm",
        checked=f"{LOOP}; weight and head's width are ours",
    ),
    "infonce": MethodInfo(
        title="contrastive, inside the batch",
        paper="van den Oord et al., arXiv 1807.03748,",
        year=2018,
        weight=1.0,
        needs=f"{FEATURES}; batches ≥ 2",
        term="wcord.methods.infonce:InfoNCETerm",
        checked=f"{LOOP}; cross-entropy of the similarities",
    ),
}
"""Name → method; part of `catalogue.METHODS`."""
