"""Models, SavedModels and runs as tables on standard output."""

from rich.table import Column, Table

from avmae_tf import console
from avmae_tf.cli import tpu

FIRST_LABELS = 5


def _table(first: str, *names: str) -> Table:
    columns = (Column(name, justify='right') for name in names)
    return Table(first, *columns, box=None, pad_edge=False)


def _print(*items):
    """Lines and tables, a blank line before each table."""
    screen = console.screen(soft_wrap=True)
    for item in items:
        if isinstance(item, Table):
            screen.print('', console.safe(item), sep='\n')
        else:
            console.echo(item)


def _some(number: int) -> str:
    return f'{number:,}' if number else ''


def _giga(flops: int) -> str:
    return f'{flops / 1e9:,.3f}'


def show_model(summary: dict) -> None:
    """Layers, parameters, tokens and FLOPs of a model (`training.summary`)."""
    layers = _table('part', 'blocks', 'width', 'heads', 'parameters')
    for part in summary['parts']:
        numbers = (part[name] for name in ('blocks', 'width', 'heads', 'parameters'))
        layers.add_row(part['part'], *map(_some, numbers))
    layers.add_row('all', '', '', '', f'{summary["parameters"]:,}', style='bold')

    encoded = 'visible' in next(iter(summary['tokens'].values()))
    tokens = _table('tokens', 'input', 'all', *(['visible'] if encoded else []))
    for modality, counts in summary['tokens'].items():
        shape = ' x '.join(map(str, summary['inputs'][modality]))
        tokens.add_row(modality, shape, *(f'{n:,}' for n in counts.values()))
    if len(summary['tokens']) > 1:
        sums = map(sum, zip(*(c.values() for c in summary['tokens'].values()), strict=True))
        tokens.add_row('both', '', *(f'{n:,}' for n in sums), style='bold')

    flops, total = summary['flops'], summary['flops']['forward']
    unit = 'clip' if summary['task'] == 'pretrain' else 'view of a clip'
    costs = _table(f'of a {unit}', 'GFLOPs', 'share')
    for part, count in flops['parts'].items():
        costs.add_row(part, _giga(count), f'{count / total:.1%}')
    costs.add_row('forward pass', _giga(total), '100.0%', style='bold')
    costs.add_row('training step', _giga(flops['training_step']), '')
    steps = [tpu.table(summary['tpu'])] if 'tpu' in summary else []
    _print(_title(summary), layers, tokens, costs, *steps)


def _title(summary: dict) -> str:
    if summary['task'] == 'pretrain':
        return (
            f'autoencoder: {summary["encoder"]} encoder, {summary["decoder"]} decoder, '
            f'{summary["objective"]} objective'
        )
    classes = ', '.join(f'{n} of {head}' for head, n in summary['classes'].items())
    views = f'{summary["views"]} views x {summary["crops"]} crops'
    return f'classifier: {summary["encoder"]} encoder, classes {classes}, tested on {views}'


def _media(media: dict | None):
    if media:
        yield (
            f'media     {media["frames_per_second"]:g} frames a second, shorter side '
            f'{media["shorter_side_px"]} px'
        )


def _labels(labels: dict):
    for head, names in labels.items():
        first = ', '.join(names[:FIRST_LABELS])
        rest = ', ...' if len(names) > FIRST_LABELS else ''
        yield f'{head:9} {len(names)} classes: {first}{rest}'


def show_model_folder(found: dict) -> None:
    """A finished model: weights, media, labels, layers."""
    _print(
        f'weights   {found["bytes"]:,} bytes', *_media(found['media']), *_labels(found['labels'])
    )
    show_model(found)


def show_run(found: dict) -> None:
    """A run: how far it is, what its last checkpoint holds, layers."""
    if run := found.get('run'):
        _print(f'run       {"finished" if run["finished"] else "not finished"}')
        if run['initial']:
            _print(f'from      {run["initial"]}')
        _print(f'records   {run["records"]} (fingerprint)')
    if not found['checkpoint']:
        _print('none yet  no checkpoint has been written')
    else:
        _print(
            f'last      {found["checkpoint"]}, step {found["step"]:,}',
            f'holds     {found["stored_parameters"]:,} parameters and '
            f'{found["stored_optimizer_values"]:,} values of the optimizer, '
            f'{found["bytes"]:,} bytes',
        )
    if 'parts' in found:
        show_model(found)


def show_saved_model(found: dict) -> None:
    """A SavedModel: size, media, labels, origin, signatures."""
    signatures = Table('signature', '', 'name', 'dtype', 'shape', box=None, pad_edge=False)
    for name, sides in found['signatures'].items():
        for side, tensors in sides.items():
            for key, spec in tensors.items():
                shape = '?' if spec['shape'] is None else _shape(spec['shape'])
                signatures.add_row(name, side.removesuffix('s'), key, spec['dtype'], shape)
                name = ''
    warmup = found['warmup_requests']
    _print(
        f'SavedModel {found["folder"]}, variables of {found["bytes"]:,} bytes',
        f'warm-up   {f"{warmup} requests" if warmup else "none"}',
        *_media(found['media']),
        *_labels(found['labels']),
        *_origin(found['origin']),
        signatures,
    )


def _origin(origin: dict | None) -> list[str]:
    known = [f'{name} {value}' for name, value in (origin or {}).items() if value]
    return [f'made by   {", ".join(known)}'] if known else []


def _shape(shape: list) -> str:
    return '[' + ', '.join('any' if n is None else str(n) for n in shape) + ']'
