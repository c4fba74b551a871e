"""Draws production.svg: the graph of the pipeline of production.md, as it is compiled."""

import re
from html import escape
from pathlib import Path

PAGE = Path(__file__).with_name('production.md')
PICTURE = PAGE.with_suffix('.svg')
WIDTH, LEFT, BOX, HEIGHT, GAP = 980, 270, 170, 44, 20  # pixels
INK, FAINT, CACHED, LOOKS = '#1f2933', '#8a96a3', '#e4ecf7', '#fbe9d0'
SOURCES = {'parameters': 'taskOutputParameter', 'artifacts': 'taskOutputArtifact'}
NODES = {  # in the order in which they run: what they do, what they leave below `root`
    'RunParameters': ('the file, but for what this run changes', ''),
    'ManifestGen': ('lists the clips that there are now', 'manifests/'),
    'VideoExampleGen': ('decodes what is new or changed, with Beam', 'work/records/'),
    'Pretrainer': ('learns from all clips', 'work/'),
    'Finetuner': ('learns from those with labels; a SavedModel', 'work/'),
    'ServedModel': ('looks which version is served', ''),
    'Baseline': ('keeps a copy of it', ''),
    'LabelSchema': ('what TFMA reads of records', ''),
    'Evaluator': ('measures both models, and holds the new one to the gate', ''),
    'Pusher': ('pushes it if it has passed', 'serving/NAME/VERSION/'),
    'RunOutcome': ('says how the run ended', 'outcomes/'),
}


def example(page: str) -> str:
    """The pipeline's file that the page shows."""
    found = re.search(r'```yaml\n(name: .*?)```', page, re.DOTALL)
    assert found
    return found[1]


def edges(spec: dict) -> dict[tuple[str, str], bool]:
    """Which task takes something of which; whether it is an artifact, not a parameter alone."""
    found: dict[tuple[str, str], bool] = {}
    for name, task in spec['root']['dag']['tasks'].items():
        inputs = task.get('inputs', {})
        for kind, key in (
            ('parameters', 'taskOutputParameter'),
            ('artifacts', 'taskOutputArtifact'),
        ):
            for source in inputs.get(kind, {}).values():
                if producer := source.get(key):
                    found[producer['producerTask'], name] = kind == 'artifacts'
    return found


def draw(spec: dict) -> str:
    """The picture of a compiled specification as SVG."""
    tasks = spec['root']['dag']['tasks']
    assert set(tasks) == set(NODES), set(tasks) ^ set(NODES)
    top = {name: 20 + (HEIGHT + GAP) * i for i, name in enumerate(NODES)}
    order = list(NODES)
    lines, boxes = [], []
    for (source, target), is_artifact in sorted(edges(spec).items(), key=lambda x: x[::-1]):
        steps = order.index(target) - order.index(source)
        assert steps > 0, f'{source} is drawn below {target}'
        if steps == 1:
            path = f'M {LEFT + BOX / 2:g} {top[source] + HEIGHT} v {GAP - 2} m -4 -6 l 4 6 l 4 -6'
        else:
            y1, y2, bend = top[source] + 30, top[target] + 16, 30 + 25 * steps
            path = (
                f'M {LEFT} {y1} C {LEFT - bend} {y1} {LEFT - bend} {y2} {LEFT - 2} {y2} '
                'm -7 -4 l 7 4 l -7 4'
            )
        colour = INK if is_artifact else FAINT
        lines.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    for name, (text, place) in NODES.items():
        y, cached = top[name], tasks[name]['cachingOptions'].get('enableCache')
        boxes.append(
            f'<rect x="{LEFT}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6" '
            f'fill="{CACHED if cached else LOOKS}"/>'
            f'<text x="{LEFT + BOX / 2:g}" y="{y + 27}" font-weight="bold" text-anchor="middle">'
            f'{name}</text>'
            f'<text x="{LEFT + BOX + 20}" y="{y + (18 if place else 27)}">{escape(text)}</text>'
        )
        if place:
            boxes.append(
                f'<text x="{LEFT + BOX + 20}" y="{y + 37}" font-family="monospace" font-size="12" '
                f'fill="{FAINT}">{escape(place)}</text>'
            )
    y = top[order[-1]] + HEIGHT + GAP
    for x, fill, text in (
        (20, CACHED, 'from the cache, if nothing that it takes has changed'),
        (440, LOOKS, 'looks each time; quick'),
    ):
        boxes.append(
            f'<rect x="{x}" y="{y}" width="18" height="18" rx="4" fill="{fill}"/>'
            f'<text x="{x + 26}" y="{y + 14}">{text}</text>'
        )
    for x, colour, text in ((660, INK, 'takes an artifact'), (825, FAINT, 'a parameter')):
        boxes.append(
            f'<path d="M {x} {y + 9} h 18" stroke="{colour}" stroke-width="1.4"/>'
            f'<text x="{x + 26}" y="{y + 14}">{text}</text>'
        )
    y += 38
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
        f'font-family="sans-serif" font-size="14" fill="{INK}">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="white"/>\n'
        + '\n'.join(lines + boxes)
        + '\n</svg>\n'
    )


def main() -> None:
    """Draws it from the page."""
    import tempfile

    from pipeline.compiler import compile_remote
    from pipeline.config import load_config
    from pipeline.targets import VERTEX

    with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
        file.write(example(PAGE.read_text()))
        file.flush()
        PICTURE.write_text(draw(compile_remote(load_config(file.name), VERTEX)['pipelineSpec']))


if __name__ == '__main__':
    main()
