"""Load a part of a saved trainer by its folder

put right: folders are named by us (exp.0/stages/train/...), in place of `output__sst/train/...`; the part's own path is as printed
"""

import flambe
from flambe.compile import yaml

yaml.load(
    """
    !TextClassifier
    embedder: !Embedder
      embedding: !torch.Embedding {num_embeddings: 20, embedding_dim: 3}
      encoder: !PooledRNNEncoder {input_size: 3, hidden_size: 4}
    output_layer: !SoftmaxLayer {input_size: 4, output_size: 2}
    """
)().save("train/checkpoint/model")

path = "train/checkpoint/model/embedder/encoder/"
encoder = flambe.load(path)
assert type(encoder).__name__ == "PooledRNNEncoder"
