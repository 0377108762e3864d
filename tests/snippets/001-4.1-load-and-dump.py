"""Load from YAML, compile, dump

as written
"""

from flambe.compile import yaml

with open("model.yaml", "w") as stream:
    stream.write(
        """
        !TextClassifier
        embedder: !Embedder
          embedding: !torch.Embedding
            num_embeddings: 200
            embedding_dim: 300
          encoder: !PooledRNNEncoder
            input_size: 300
            rnn_type: lstm
            n_layers: 3
            hidden_size: 256
        output_layer: !SoftmaxLayer
          input_size: 256
          output_size: 10
        """
    )

# Loading from YAML into a Schema
text_classifier_schema = yaml.load(open("model.yaml"))
text_classifier = text_classifier_schema()  # Compile the Schema

# Dumping object
yaml.dump(text_classifier, open("new_model.yaml", "w"))

again = yaml.load(open("new_model.yaml"))()
assert type(again) is type(text_classifier)
assert yaml.dump(again) == yaml.dump(text_classifier)
