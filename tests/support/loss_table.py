"""The contract of each loss: one row per loss, which `tests/losses/test_contract.py` checks."""

from tests.support.contracts_on_embeddings import ON_EMBEDDINGS
from tests.support.contracts_on_logits import ON_LOGITS
from tests.support.contracts_on_map_lists import ON_MAP_LISTS
from tests.support.contracts_on_maps import ON_MAPS
from tests.support.contracts_on_similarities import ON_SIMILARITIES
from tests.support.contracts_on_tokens import ON_TOKENS
from tests.support.loss_contract import Contract

LOSSES: dict[str, Contract] = {
    **ON_LOGITS,
    **ON_EMBEDDINGS,
    **ON_MAPS,
    **ON_MAP_LISTS,
    **ON_TOKENS,
    **ON_SIMILARITIES,
}
