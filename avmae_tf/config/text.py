"""Settings as YAML, bounded before anything is built from them."""

import yaml

MAX_CHARACTERS, MAX_DEPTH, MAX_ALIASES = 2**18, 20, 20


def read_yaml(text, where: str):
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


def _check(text: str, where: str):
    """Refuses what would take the loader, or whoever walks over its result, for ever."""
    opened, aliases = [], 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(event.anchor)
            if len(opened) > MAX_DEPTH:
                line = event.start_mark.line + 1
                raise ValueError(f'{where}: line {line} nests deeper than {MAX_DEPTH} levels')
        elif isinstance(event, yaml.CollectionEndEvent):
            opened.pop()
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if event.anchor in opened:
                raise ValueError(f'{where}: *{event.anchor} refers to itself')
            if aliases > MAX_ALIASES:
                raise ValueError(f'{where}: has more than {MAX_ALIASES} aliases (*name)')
