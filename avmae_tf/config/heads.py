"""Heads: what clips are labelled with. A classifier has one output for each head of its data."""

LABEL, NOUN, VERB, EVENT = 'label', 'noun', 'verb', 'event'
HEADS = (LABEL, NOUN, VERB, EVENT)  # also the order in which they are iterated
EVENT_SECONDS = 10  # EVENT has one label for each second of a clip of this length (AVE)

Classes = dict[str, tuple[str, ...]]  # classes by head, in the order of their indices
