"""Small classes with many kinds of signatures, for the compiler's tests; importing this file is a failure."""

from __future__ import annotations

from typing import Any, Literal, overload

raise ImportError("the compiler imported what it should only read")


class Component:
    def __init__(self, **kwargs: Any) -> None: ...

    @classmethod
    def load_from_path(cls, path: str, use_saved_config_defaults: bool = True, **kwargs: Any) -> Component: ...


class Words(Component):
    def __init__(self, transform: dict[str, Any], cache: bool = True) -> None: ...

    @classmethod
    def autogen(cls, data_path: str, test_ratio: float | None = 0.2, seed: int | None = None) -> Words: ...


class TextField(Component):
    def __init__(self, lower: bool = False, pad_token: str = "<pad>", sizes: tuple[int, int] = (1, 2)) -> None: ...

    def setup(self, *data: Any) -> None: ...


class LabelField(TextField):
    def __init__(self, one_hot: bool = False, **kwargs: Any) -> None:
        super().__init__(pad_token="", **kwargs)


class Encoder(Component):
    def __init__(
        self,
        input_size: int,
        n_layers: int = 1,
        rnn_type: Literal["lstm", "gru", "sru"] = "lstm",
        dropout: float = 0,
        layers: int | list[int] | None = None,
        hidden_size: int | None = None,
    ) -> None: ...


class Head(Component):
    @overload
    def __init__(self, size: int) -> None: ...

    @overload
    def __init__(self, *, like: Head) -> None: ...

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...


class Classifier(Component):
    def __init__(self, encoder: Encoder, output_layer: Component, dropout: float = 0) -> None: ...


class Sgd:
    def __init__(self, params: Any, lr: float = 0.1) -> None: ...


class Trainer(Component):
    def __init__(
        self,
        dataset: Words,
        model: Component,
        optimizer: Sgd | None = None,
        max_steps: int = 10,
        name: str = "",
        lower_is_better: bool = False,
    ) -> None: ...

    def metric(self) -> float: ...


class Tester(Component):
    def __init__(self, dataset: Words, model: Component, metric_fn: Any = None) -> None: ...


class Anything(Component):
    """Takes any arguments, so nothing about them can be checked."""
