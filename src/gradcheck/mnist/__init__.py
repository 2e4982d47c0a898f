"""MNIST, classified by a network that learns from the hand-derived gradients and from nothing else.

>>> from gradcheck import mnist
>>> digits = mnist.load("train", "sample"), mnist.load("test", "sample")
>>> result = mnist.train(mnist.Config(hidden=(), epochs=1, limit=1000), *digits)
>>> result.model.logits(digits[1].images).shape
(1000, 10)
"""

from gradcheck.mnist.config import Config
from gradcheck.mnist.data import Digits, load
from gradcheck.mnist.loop import Metrics, Result, State, Training, train
from gradcheck.mnist.losses import from_gradient, from_rule
from gradcheck.mnist.model import Model, load_model, save_model
from gradcheck.mnist.objective import model_rule
from gradcheck.mnist.optim import SGD, Adam, Momentum
from gradcheck.mnist.progress import reporter
from gradcheck.mnist.run import new_folder, record

__all__ = [
    "SGD",
    "Adam",
    "Config",
    "Digits",
    "Metrics",
    "Model",
    "Momentum",
    "Result",
    "State",
    "Training",
    "from_gradient",
    "from_rule",
    "load",
    "load_model",
    "model_rule",
    "new_folder",
    "record",
    "reporter",
    "save_model",
    "train",
]
