"""Cron expressions: what every engine takes, and what is refused before one sees it."""

import pytest

from pipeline.cron import check_cron, check_timezone


@pytest.mark.parametrize(
    ('cron', 'expected'),
    [
        ('0 3 * * 1', '0 3 * * 1'),
        ('  */15  0-6,20 1,15 jan-mar,12 mon-fri ', '*/15 0-6,20 1,15 JAN-MAR,12 MON-FRI'),
        ('59 23 31 12 0', '59 23 31 12 0'),
        ('5-50/5 * * * *', '5-50/5 * * * *'),
    ],
)
def test_what_engines_take_is_left_as_it_is(cron, expected):
    assert check_cron(cron) == expected


@pytest.mark.parametrize(
    ('cron', 'message'),
    [
        ('0 3 * *', r'must have 5 fields \(minute, .*got .0 3 \* \*.'),
        ('0 0 3 * * 1', 'must have 5 fields'),
        ('@weekly', 'must have 5 fields'),
        ('60 * * * *', "the minute is 0 to 59, .*got '60'"),
        ('0 24 * * *', "the hour is 0 to 23, .*got '24'"),
        ('0 3 0 * *', "the day of the month is 1 to 31, .*got '0'"),
        ('0 3 * 13 *', "the month is 1 to 12 or JAN to DEC, .*got '13'"),
        ('0 3 * * 7', "the day of the week is 0 to 6 or SUN to SAT, .*got '7'"),
        ('0 3 * * JAN', "the day of the week .*got 'JAN'"),
        ('0 6-3 * * *', "the hour .*got '6-3'"),
        ('*/0 * * * *', "the minute .*got '\\*/0'"),
        ('0 3,, * * *', "the hour .*got ''"),
        ('0 3; * * *', "the hour .*got '3;'"),
    ],
)
def test_anything_else_is_refused_by_field(cron, message):
    with pytest.raises(ValueError, match=message):
        check_cron(cron)


def test_time_zones_are_those_there_are():
    assert check_timezone('Europe/Berlin') == 'Europe/Berlin'
    for name in ('Europe/Nowhere', '/etc/passwd', '../x', ''):
        with pytest.raises(ValueError, match='timezone: must be one such as Europe/Berlin'):
            check_timezone(name)
