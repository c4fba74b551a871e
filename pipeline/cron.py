"""When a schedule starts a run: the five fields of cron, checked before an engine sees them."""

import re
import zoneinfo

_MONTHS = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split()
_DAYS = 'SUN MON TUE WED THU FRI SAT'.split()
_FIELDS: tuple[
    tuple[str, int, int, list[str]], ...
] = (  # name, its first number, the last one, names that stand for numbers
    ('minute', 0, 59, []),
    ('hour', 0, 23, []),
    ('day of the month', 1, 31, []),
    ('month', 1, 12, _MONTHS),
    ('day of the week', 0, 6, _DAYS),
)
_PART = re.compile(r'(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?')


def check_cron(cron: str) -> str:
    """The expression with single spaces between its fields.

    Raises:
        ValueError: it is not one that every engine takes; names the field.
    """
    texts = cron.upper().split()
    if len(texts) != len(_FIELDS):
        fields = ', '.join(field[0] for field in _FIELDS)
        raise ValueError(
            f"cron: must have {len(_FIELDS)} fields ({fields}), as in '0 3 * * 1', got {cron!r}"
        )
    for text, (name, first, last, names) in zip(texts, _FIELDS, strict=True):
        for part in text.split(','):
            _check_part(part, name, first, last, names)
    return ' '.join(texts)


def _check_part(part: str, name: str, first: int, last: int, names: list[str]) -> None:
    found = _PART.fullmatch(part)
    step = int(found[3] or 1) if found else 0
    ends = [_number(x, first, names) for x in found.groups()[:2] if x] if found else []
    if not step or any(not first <= x <= last for x in ends) or ends != sorted(ends):
        also = f' or {names[0]} to {names[-1]}' if names else ''
        raise ValueError(
            f'cron: the {name} is {first} to {last}{also}, *, a range or a list, got {part!r}'
        )


def _number(text: str, first: int, names: list[str]) -> int:
    if text in names:
        return names.index(text) + first
    return int(text) if text.isdecimal() else -1


def check_timezone(name: str) -> str:
    """The name of a time zone, as in Europe/Berlin; raises ValueError if there is none such."""
    try:
        return zoneinfo.ZoneInfo(name).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'timezone: must be one such as Europe/Berlin, got {name!r}') from None
