"""Prices of modules whose cost is added up by hand."""

from avmae_tf.tpu.pricing import price

MODULE = """\
HloModule jit_step, is_scheduled=true

%fused (p: f32[8,128]) -> f32[8,128] {
  ROOT %m = f32[8,128]{1,0:T(8,128)} multiply(%p, %p), backend_config={"estimated_cycles":"999999"}
}

%inner_body (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = f32[8]{0:T(256)} fusion(%t), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"5"}
  ROOT %r = (s32[]{:T(128)}, f32[8]{0:T(256)}) tuple(%t, %a)
}

%condition (t: (s32[], f32[8])) -> pred[] {
  ROOT %c = pred[]{:T(512)} compare(%t, %t), direction=LT
}

%body (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %f = f32[8]{0:T(256)} fusion(%t), kind=kOutput, calls=%fused, backend_config={"estimated_cycles":"100"}
  ROOT %w = (s32[]{:T(128)}, f32[8]{0:T(256)}) while(%t), condition=%condition, body=%inner_body, backend_config={"known_trip_count":{"n":"4"}}
}

%cheap (t: f32[8]) -> f32[8] {
  ROOT %f = f32[8]{0:T(256)} fusion(%t), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"1"}
}

%dear (t: f32[8]) -> f32[8] {
  ROOT %f = f32[8]{0:T(256)} fusion(%t), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"30"}
}

ENTRY %main (x: f32[8]) -> (f32[8], f32[8]) {
  %x = f32[8]{0:T(256)} parameter(0)
  %w = (s32[]{:T(128)}, f32[8]{0:T(8,128)(2,1)S(1)}) while(%x), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %b = f32[8]{0:T(256)} conditional(%x, %x), branch_computations={%cheap, %dear}
  %c = f32[8]{0:T(256)} call(%x), to_apply=%cheap
  ROOT %f = f32[8]{0:T(256)} fusion(%c), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"7","window":{}}
}
"""  # noqa: E501


def test_a_loop_counts_as_often_as_it_runs_and_a_fusion_once():
    found = price(MODULE)
    assert found.cycles == 3 * (100 + 4 * 5) + 30 + 1 + 7
    assert found.unpriced == 0 and found.instructions == 13


def test_what_the_compiler_prices_not_is_counted():
    unknown = MODULE.replace(', backend_config={"known_trip_count":{"n":"3"}}', '')
    assert price(unknown)[:2] == ((100 + 4 * 5) + 30 + 1 + 7, 1)
    overflown = MODULE.replace('"estimated_cycles":"7"', '"estimated_cycles":"9223372036854775807"')
    assert price(overflown)[:2] == (3 * 120 + 31, 1)
    sort = 'ROOT %f = f32[8]{0:T(256)} sort(%c), to_apply=%condition\n}\n'
    assert price(MODULE.partition('ROOT %f = f32[8]{0:T(256)} fusion(%c)')[0] + sort)[:2] == (
        391,
        1,
    )


def test_a_loop_that_does_not_say_so_runs_as_often_as_its_counter_is_limited():
    silent = MODULE.replace(', backend_config={"known_trip_count":{"n":"4"}}', '')
    counter = '%n = s32[]{:T(128)} constant(6), metadata={op_name="call"}\n  '
    compare = 'ROOT %c = pred[]{:T(512)} compare(%t, %n), direction='
    limited = silent.replace(f'{compare.replace("%n", "%t")}LT', f'{counter}{compare}LT')
    assert price(limited)[:2] == (3 * (100 + 6 * 5) + 38, 0)
    assert price(limited.replace('=LT', '=NE'))[:2] == (3 * (100 + 5) + 38, 1)


def test_a_buffer_that_is_only_set_aside_costs_nothing():
    begin = MODULE.partition('ROOT %f = f32[8]{0:T(256)} fusion(%c)')[0]
    call = 'ROOT %f = f32[8]{0:T(256)} custom-call(), custom_call_target="AllocateBuffer"\n}\n'
    assert price(begin + call)[:2] == (391, 0)
    assert price(begin + call.replace('AllocateBuffer', 'Work'))[:2] == (391, 1)
