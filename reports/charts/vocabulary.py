"""The words of the charts and tables: what datasets, families, their sizes and the statuses are called."""

from __future__ import annotations

DATASETS = {"digits": "Digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
FAMILIES = {"dnn": "DNN", "cnn": "CNN", "vit": "ViT"}
CAPACITIES = {"dnn": "Width of the first hidden layer", "cnn": "Channels", "vit": "Embedding width"}
PARAMETERS = "Trainable parameters"
ACCURACY = "Test accuracy"
PRUNED = "Weights pruned"
GAP = "Gap, 32-bit minus 8-bit"
LOSS = "Loss, nats"
SHORT_CAPACITIES = {"dnn": "width", "cnn": "channels", "vit": "embedding width"}
DEPTHS = {
    "dnn": ("hidden layer", "hidden layers"),
    "cnn": ("convolution", "convolutions"),
    "vit": ("encoder block", "encoder blocks"),
}
BOUNDARIES = {"stability": "Stability", "overfitting": "Overfitting"}
STATUSES = {
    "detected": "detected",
    "gradual": "gradual",
    "absent": "absent",
    "not_reached": "not reached",
    "all_stable": "all stable",
    "insufficient": "too little data",
    "equivalent": "equivalent",
    "different": "different",
    "inconclusive": "inconclusive",
}


def dataset_name(dataset: str) -> str:
    """Return a dataset's usual spelling; one of the user's own keeps its name."""
    return DATASETS.get(dataset, dataset)


def depth_name(family: str, depth: int) -> str:
    """Return a depth in words, such as `2 hidden layers`."""
    one, many = DEPTHS.get(family, ("layer", "layers"))
    return f"{depth} {one if depth == 1 else many}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def points(value: float | None) -> str:
    """Return a difference of fractions in percentage points, signed; a dash where there is none."""
    return "–" if value is None else f"{100 * value:+.2f}".replace("-", "−")


def count(value: float | None) -> str:
    """Return a whole number with thousands separated; a dash where there is none."""
    return "–" if value is None else f"{value:,.0f}"


def p_value(value: float | None) -> str:
    """Return a p-value to three decimals, as a bound where it is smaller; a dash where there is none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
