"""A survey of records for people."""

from collections.abc import Iterator

BAR = 30  # characters of the longest
FEW_RATES = 4  # so many are listed; of more the ends


def lines(summary: dict) -> Iterator[str]:
    """The summary of a survey, line by line."""
    splits = ', '.join(f'{count} {split}' for split, count in summary['splits'].items())
    yield f'clips     {summary["clips"]}' + (f' ({splits})' if splits else '')
    yield f'video     {_rates(summary["frames_per_second"], "frames a second") or "none"}'
    yield f'audio     {_rates(summary["sample_rate_hz"], "Hz") or "none"}'
    missing = {m: summary[f'without_{m}'] for m in ('video', 'audio')}
    if any(missing.values()):
        yield 'missing   ' + ', '.join(f'{n} clips without {m}' for m, n in missing.items() if n)
    quantiles = ', '.join(f'{k.replace("_", " ")} {v:g}' for k, v in summary['seconds'].items())
    yield f'seconds   {quantiles}'
    yield f'bytes     {summary["bytes_per_clip"]:,} a clip, {summary["bytes"]:,} in all'
    for head, labels in summary['heads'].items():
        yield from _labels(head, labels)
    if summary['unlabelled_clips']:
        yield f'no label  {summary["unlabelled_clips"]} clips without a label'


def _rates(counts: dict, unit: str) -> str:
    if len(counts) == 1:
        return f'{next(iter(counts))} {unit}'
    if len(counts) > FEW_RATES:
        rates = list(counts)
        return f'{rates[0]} to {rates[-1]} {unit}, {len(rates)} different ones'
    return ', '.join(f'{rate} {unit} ({count} clips)' for rate, count in counts.items())


def _labels(head: str, labels: dict):
    unseen, top = labels['classes_without_examples'], labels['top_labels']
    yield f'{head:9} {labels["num_classes"]} classes, {unseen} of them without examples'
    if not top:
        return
    width, most = max(map(len, top)), max(top.values())
    for label, count in top.items():
        yield f'  {label:{width}}  {count:>7}  {"█" * max(1, round(BAR * count / most))}'
    if labels['num_classes'] > len(top):
        yield f'  and {labels["num_classes"] - len(top)} more'
