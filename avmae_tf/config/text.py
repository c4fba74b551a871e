"""Settings as YAML, bounded before anything is built from them."""

from typing import Any, TextIO

import yaml

MAX_CHARACTERS, MAX_DEPTH, MAX_ALIASES = 2**18, 20, 20


def read_yaml(text: str | TextIO, where: str) -> Any:
    """What the YAML `text`, or open file, says; `where` names it in errors.

    Raises:
        ValueError: it is not YAML, too long, nested too deeply, or refers to itself.
    """
    try:
        text = text if isinstance(text, str) else text.read(MAX_CHARACTERS + 1)
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f'{where}: settings must have at most {MAX_CHARACTERS} characters')
        _check(text, where)
        return yaml.safe_load(text)
    except UnicodeDecodeError:
        raise ValueError(f'{where}: not YAML: must be text in UTF-8') from None
    except yaml.YAMLError as error:
        raise ValueError(f'{where}: not YAML: {" ".join(str(error).split())}') from None


def _check(text: str, where: str) -> None:
    """Raises ValueError for YAML that never ends to load, or that has a field twice.

    The loader itself would take the last of two fields without a word.
    """
    opened: list[_Open] = []
    aliases = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            opened.pop()
            continue
        if opened and isinstance(event, yaml.NodeEvent) and opened[-1].twice(event):
            line = event.start_mark.line + 1
            raise ValueError(f'{where}: line {line} names {event.value!r} a second time')
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Open(event))
            if len(opened) > MAX_DEPTH:
                line = event.start_mark.line + 1
                raise ValueError(f'{where}: line {line} nests deeper than {MAX_DEPTH} levels')
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if event.anchor in (collection.anchor for collection in opened):
                raise ValueError(f'{where}: *{event.anchor} refers to itself')
            if aliases > MAX_ALIASES:
                raise ValueError(f'{where}: has more than {MAX_ALIASES} aliases (*name)')


class _Open:
    """A list or a map that has not ended yet."""

    def __init__(self, event: yaml.CollectionStartEvent) -> None:
        self.anchor = event.anchor
        self.is_map = isinstance(event, yaml.MappingStartEvent)
        self.names: set[str] = set()
        self.next_is_name = self.is_map

    def twice(self, event: yaml.NodeEvent) -> bool:
        """Counts the next node; True if it is the name of a field that is there already."""
        is_name, self.next_is_name = self.next_is_name, self.is_map and not self.next_is_name
        if not (is_name and isinstance(event, yaml.ScalarEvent)):
            return False
        is_known = event.value in self.names
        self.names.add(event.value)
        return is_known
