"""State that is computed

put right: the methods are `_state` and `_load_state`, with one underscore
"""

from flambe import Component


class Counter(Component):
    def __init__(self):
        self.seen = set()

    def _state(self, state_dict, prefix, local_metadata):
        state_dict[prefix + "seen"] = sorted(self.seen)
        return state_dict

    def _load_state(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        self.seen = set(state_dict[prefix + "seen"])


counter = Counter()
counter.seen |= {"b", "a"}
other = Counter()
other.load_state(counter.get_state())
assert other.seen == {"a", "b"}
