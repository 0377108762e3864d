"""State of one object into another

put right: `TextClassifier(...)` is written out
"""

import torch

from flambe.compile import yaml
from flambe.nlp.classification import TextClassifier
from flambe.nn import Embedder, PooledRNNEncoder, SoftmaxLayer

with open("model.yaml", "w") as stream:
    stream.write(
        """
        !TextClassifier
        embedder: !Embedder
          embedding: !torch.Embedding {num_embeddings: 20, embedding_dim: 3}
          encoder: !PooledRNNEncoder {input_size: 3, hidden_size: 4}
        output_layer: !SoftmaxLayer {input_size: 4, output_size: 2}
        """
    )

# Loading from YAML into a Schema
text_classifier_schema = yaml.load(open("model.yaml"))
text_classifier = text_classifier_schema()  # Compile the Schema

state = text_classifier.get_state()

another_text_classifier = TextClassifier(
    Embedder(torch.nn.Embedding(20, 3), PooledRNNEncoder(3, 4)), SoftmaxLayer(4, 2)
)
another_text_classifier.load_state(state)

for one, other in zip(text_classifier.parameters(), another_text_classifier.parameters(), strict=True):
    assert torch.equal(one, other)
