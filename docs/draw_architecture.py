"""Draws architecture.svg from architecture.md: a row for each stage of the walk, with its files."""

import re
from html import escape
from pathlib import Path

PAGE = Path(__file__).with_name('architecture.md')
PICTURE = PAGE.with_suffix('.svg')
WIDTH, LEFT, LINE, GAP = 980, 170, 20, 22  # pixels
CHARACTERS = 100  # of a line of files
INK, FILL, FAINT = '#1f2933', '#e4ecf7', '#5f6c7b'


def stages(page: str) -> dict[str, list[str]]:
    """The files of each stage, in the order of the page."""
    parts = re.split(r'^## (.+)$', page, flags=re.M)[1:]
    found = zip(parts[::2], parts[1::2], strict=True)
    return {name: re.findall(r'^\d+\. `([^`]+)`', text, re.M) for name, text in found}


def lines_of(files: list[str]) -> list[str]:
    """The files by folder, broken into lines: `folder/ one, two`."""
    lines: list[str] = []
    folder = None
    for file in files:
        above, _, name = file.rpartition('/')
        name = name.removesuffix('.py')
        if above == folder and len(lines[-1]) + len(name) < CHARACTERS:
            lines[-1] += f' \u2192 {name}'
        else:
            lines.append(f'{above}/  {name}' if above != folder else f'\u2192 {name}')
        folder = above
    return lines


def draw(page: str) -> str:
    """The picture as SVG."""
    y, body = GAP, []
    rows = stages(page)
    for number, (stage, files) in enumerate(rows.items()):
        lines = lines_of(files)
        height = LINE * len(lines) + 14
        body.append(
            f'<rect x="20" y="{y}" width="{LEFT - 50}" height="{height}" rx="6" fill="{FILL}"/>'
            f'<text x="{20 + (LEFT - 50) / 2:g}" y="{y + height / 2 + 5:g}" font-weight="bold" '
            f'text-anchor="middle">{escape(stage)}</text>'
        )
        body += [
            f'<text x="{LEFT}" y="{y + 21 + LINE * i}" font-family="monospace" font-size="13" '
            f'fill="{FAINT if i else INK}" xml:space="preserve">{escape(line)}</text>'
            for i, line in enumerate(lines)
        ]
        y += height
        if number < len(rows) - 1:
            x = 20 + (LEFT - 50) / 2
            body.append(
                f'<path d="M {x:g} {y + 3} v {GAP - 9} m -4 -5 l 4 5 l 4 -5" fill="none" '
                f'stroke="{INK}" stroke-width="1.5"/>'
            )
        y += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
        f'font-family="sans-serif" font-size="14" fill="{INK}">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="white"/>\n' + '\n'.join(body) + '\n</svg>\n'
    )


if __name__ == '__main__':
    PICTURE.write_text(draw(PAGE.read_text()))
