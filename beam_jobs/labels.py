"""Matches labels of annotation files to classes, however they are spelled."""

import difflib
import functools
from collections.abc import Mapping, Sequence

from avmae_tf.config.heads import EVENT
from beam_jobs.manifests import LABEL_SEPARATOR

_QUOTES = ((r'[\x{2018}-\x{201B}\x{2032}]', "'"), (r'[\x{201C}-\x{201F}\x{2033}]', '"'))


@functools.cache
def fold_spelling(text: str) -> str:
    """The text without what spellings differ in: Unicode form, case, accents, quotes, spaces."""
    if not text.isascii():
        text = _fold_unicode(text)
    return ' '.join(text.casefold().split())


def _fold_unicode(text: str) -> str:
    import tensorflow as tf
    import tensorflow_text as text_ops

    folded = text_ops.case_fold_utf8(text_ops.normalize_utf8(text, 'NFKC'))
    folded = tf.strings.regex_replace(text_ops.normalize_utf8(folded, 'NFD'), r'\p{Mn}', '')
    for pattern, quote in _QUOTES:
        folded = tf.strings.regex_replace(folded, pattern, quote)
    folded = tf.strings.regex_replace(folded, r'[\s\p{Z}]+', ' ')
    return text_ops.normalize_utf8(folded, 'NFC').numpy().decode()


class Classes:
    """The classes of one head: those published, or, where none are, those that occur."""

    def __init__(self, head: str, published: Sequence[str] = ()) -> None:
        self.head, self.published = head, tuple(published)
        self._by_text: dict[str, str] = {}
        for name in self.published:
            if (other := self._by_text.setdefault(fold_spelling(name), name)) != name:
                raise ValueError(f'classes of {head!r} must differ, got {other!r} and {name!r}')

    def match(self, label: str) -> str:
        """The class of that name.

        Raises:
            ValueError: none of the published classes; it names the nearest ones.
        """
        text = fold_spelling(label)
        if not text or LABEL_SEPARATOR in label:
            raise ValueError(
                f'a label must be some text without {LABEL_SEPARATOR!r}, got {label!r}'
            )
        if not self.published:
            return self._by_text.setdefault(text, label)
        if text not in self._by_text:
            near = difflib.get_close_matches(text, self._by_text, n=3, cutoff=0.5)
            hint = ', '.join(repr(self._by_text[name]) for name in near) or 'none is like it'
            raise ValueError(
                f'{label!r} is none of the {len(self.published)} classes of {self.head!r}; '
                f'the nearest: {hint}'
            )
        return self._by_text[text]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their indices."""
        return self.published or tuple(self._by_text[text] for text in sorted(self._by_text))


class Matcher:
    """Labels by head to classes by head; equal labels become one object."""

    def __init__(self, published: Mapping[str, Sequence[str]]) -> None:
        self.heads = {head: Classes(head, names) for head, names in published.items()}
        self._matched: dict[tuple, dict[str, tuple[str, ...]]] = {}

    def __call__(self, labels: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        key = tuple(labels.items())
        if key not in self._matched:
            self._matched[key] = {head: self._match(head, names) for head, names in key if names}
        return self._matched[key]

    def _match(self, head: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """Classes of the labels, each once, but one for each second of an event."""
        classes = tuple(map(self.heads[head].match, names))
        return classes if head == EVENT else tuple(dict.fromkeys(classes))

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Classes of each head that has any, in the order of their indices."""
        return {head: classes.names for head, classes in self.heads.items() if classes.names}
