from .create import create_model as create_model
from .weights import load_weights as load_weights
