"""What TensorBoard is given, piece by piece; tests/test_tensorboard.py looks at all of it."""

import time
import types

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import PRETRAIN_RECIPES, RunSpec
from avmae_tf.training.answers import Answers
from avmae_tf.training.monitoring import about, charts, names, projector, speed
from avmae_tf.training.monitoring.budget import SHARE, Budget
from avmae_tf.training.monitoring.classification import verdict
from avmae_tf.training.monitoring.clock import Clock
from avmae_tf.training.monitoring.occasional import Occasional
from avmae_tf.training.monitoring.profile import Profile
from avmae_tf.training.monitoring.tags import name_of, tag_of
from avmae_tf.training.tasks import PretrainTask

CLASSES = {'noun': ('cup', 'door'), 'verb': ('open', 'close', 'wash')}


class Time:
    """A clock that goes by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ('name', 'tag'),
    [
        ('loss', 'loss/loss'),
        ('loss_video', 'loss/loss_video'),
        ('mean_patch_loss_audio', 'loss of the mean patch/mean_patch_loss_audio'),
        ('top1_noun', 'accuracy/top1_noun'),
        ('map', 'accuracy/map'),
        ('gradient_norm', 'optimizer/gradient_norm'),
        ('learning_rate', 'optimizer/learning_rate'),
        ('speed/clips_per_second', 'speed/clips_per_second'),
        ('new', 'other/new'),
    ],
)
def test_scalars_are_grouped_and_keep_their_names(name, tag):
    assert tag_of(name) == tag
    assert name_of(tag) == name.rpartition('/')[2]
    assert name_of('loss_video') == 'loss_video'  # as earlier versions wrote it


def test_runs_are_called_by_task_recipe_and_date_and_no_two_alike(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(names.time, 'strftime', lambda form: '2024-05-31-0930')
    task = PretrainTask(PRETRAIN_RECIPES['demo'], dataset)
    for name in ('', '-2', '-3'):
        found = names.new_name(str(tmp_path), task)
        assert found == f'pretrain-demo-2024-05-31-0930{name}'
        (tmp_path / found).mkdir()


@pytest.mark.parametrize(('batch', 'step'), [(0.05, 0.0), (0.0, 0.05)])
def test_the_clock_tells_waiting_for_batches_from_work_on_them(batch, step):
    def slow(seconds):
        def wait(x):
            time.sleep(seconds)
            return x

        return lambda x: tf.numpy_function(wait, [x], tf.int64, stateful=True)

    clock, total = Clock(), tf.Variable(0, dtype=tf.int64)
    batches = iter(tf.data.Dataset.range(100).map(slow(batch)))

    @tf.function
    def loop(count):
        for _ in tf.range(count):
            total.assign_add(slow(step)(clock.next(batches)))

    loop(tf.constant(1))
    for _ in range(2):  # each loop is measured by itself
        clock.begin()
        loop(tf.constant(4))
        clock.end()
        share = clock.waited / clock.seconds
        assert clock.seconds > 0.15 and (0.6 < share <= 1.0 if batch else share < 0.4)
    assert total.numpy() == sum(range(9))


def occasional(clock, num_steps=100, logs='logs', **run) -> Occasional:
    trainer = types.SimpleNamespace(num_steps=num_steps)
    running = types.SimpleNamespace(
        trainer=trainer, run=RunSpec(steps_per_loop=5, **run), logs=logs, budget=Budget(clock)
    )
    return Occasional(running)


def steps_of(action: Occasional, clock: Time, seconds: float, loop: float = 10.0) -> list[int]:
    """Steps at which the action is done, which takes so many seconds."""
    done = []
    for step in range(5, 105, 5):
        clock.now += loop
        if action.is_due(step):
            with action.doing(step):
                clock.now += seconds
            done.append(step)
    return done


def test_what_costs_nothing_is_done_ten_times():
    clock = Time()
    assert steps_of(occasional(clock), clock, 0.0) == [*range(10, 101, 10)]


def test_what_costs_more_is_done_as_often_as_the_budget_allows_and_at_the_end():
    clock = Time()
    action = occasional(clock)
    done = steps_of(action, clock, 1.0)
    assert done[0] == 10 and done[-1] == 100 and 2 < len(done) < 6
    spent_before_the_end = action.running.budget.spent - 1.0
    assert spent_before_the_end <= 2 * SHARE * clock.now  # of the first nothing was known
    costly = occasional(clock)
    costly.cost = 1e6
    assert steps_of(costly, clock, 1.0) == [100]


def test_pictures_that_were_asked_for_are_drawn_whatever_they_cost_and_by_one_worker():
    clock = Time()
    asked = occasional(clock, pictures_every_loops=4)
    assert steps_of(asked, clock, 100.0) == [20, 40, 60, 80, 100]
    assert steps_of(occasional(clock, logs=None), clock, 0.0) == []
    assert steps_of(occasional(clock, pictures=False), clock, 0.0) == []


def test_the_steps_of_the_second_loop_are_profiled(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(tf.profiler.experimental, 'start', lambda logs: calls.append('start'))
    monkeypatch.setattr(tf.profiler.experimental, 'stop', lambda: calls.append('stop'))
    running = types.SimpleNamespace(
        run=RunSpec(steps_per_loop=50, profile_steps=10), logs=str(tmp_path), say=lambda line: None
    )
    action, step, looks = Profile(running), 20, []
    while step < 200:
        step += action.before_steps(step)
        calls.append(step)
        action.after_steps(step, {})
        looks.append(step)
    assert looks == [50, 60, 100, 150, 200]  # back to the looks of all other runs
    assert calls == [50, 'start', 60, 'stop', 100, 150, 200]


def test_flops_of_a_step_are_three_passes_of_all_clips_of_the_batch(dataset):
    from avmae_tf.models.cost import pretraining_flops

    config = PRETRAIN_RECIPES['vggsound-base']
    forward = sum(pretraining_flops(config).values())
    assert speed.step_flops(PretrainTask(config, dataset)) == 3 * 512 * forward


def test_the_rate_of_a_matrix_product_is_measured_where_there_is_a_processor():
    assert speed.matrix_rate('/device:CPU:0', tf.float32) > 1e9
    assert speed.matrix_rate('/device:TPU:0', tf.float32) == 0.0
    (gib,) = speed.memory().values()
    assert 0.05 < gib < 100


def test_a_text_shows_settings_as_they_are():
    text = about.table([('a.b', 'x|y'), ('c', [1, 2]), ('d', '')], ('setting', 'value'))
    assert text.splitlines() == [
        '| setting | value |', '|---|---|', '| a.b | `x|y` |', '| c | `1, 2` |', '| d |  |'
    ]  # fmt: skip


def test_runs_are_compared_by_what_they_change():
    demo = PRETRAIN_RECIPES['demo']
    found = about.hyperparameters(demo.replace(weight_decay=0.1))
    assert found['recipe'] == 'demo' and found['weight_decay'] == 0.1
    assert found['schedule.learning_rate'] == 1e-3 and found['optimizer.kind'] == 'adam'
    assert 'weight_decay' not in about.hyperparameters(demo)


def test_a_clip_is_said_with_what_it_was_taken_for():
    answers = Answers(
        scores={'noun': np.array([[0.3, 0.7]]), 'verb': np.array([[0.1, 0.2, 0.7]])},
        targets={'noun': np.array([[1, 0]]), 'verb': np.array([[0, 1, 1]])},
        losses=np.array([1.0]),
        places=np.array([0]),
    )
    said = 'cup, taken for door 0.70; close, wash, taken for wash 0.70'
    assert verdict(answers, 0, CLASSES) == said


def test_the_projector_gets_a_line_for_each_clip_and_a_heading_where_there_are_columns():
    targets = {'noun': np.eye(2)[[1, 0]], 'verb': np.array([[0, 1, 1], [0, 0, 0]])}
    text = projector.metadata(targets, CLASSES, 2)
    assert text == 'noun\tverb\tclip\ndoor\tclose, wash\t0\ncup\tno label\t1\n'
    assert projector.metadata({}, {}, 3) == '0\n1\n2\n'


def test_thumbnails_are_laid_out_row_by_row():
    side = projector.SIDE_PX
    pictures = [np.full([side, side, 3], i, np.uint8) for i in range(1, 6)]
    found = projector.sprite(pictures)[::side, ::side, 0]
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 0], [0, 0, 0]])
    frames = np.linspace(-1, 1, 3)[:, None, None, None] * np.ones([3, 8, 8, 3])
    middle = projector.thumbnail({'video': frames})
    assert middle.shape == (side, side, 3) and set(np.unique(middle)) == {127}


@pytest.mark.parametrize('count', [3, 100])
def test_charts_of_many_classes_show_some_of_them(count):
    classes = tuple(f'class {i}' for i in range(count))
    values = np.linspace(0.0, 1.0, count)
    values[1] = np.nan
    bars = charts.precision_bars(values, classes).axes[0]
    shown = [label.get_text() for label in bars.get_yticklabels()]
    assert shown[0] == classes[-1] and shown[-1] == classes[0] and classes[1] not in shown
    assert len(shown) == min(count - 1, charts.MAX_CLASSES)
    matrix = np.zeros([count, count])
    matrix[2, 0] = 5  # the one confusion
    figure = charts.confusion(matrix, classes)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {classes[0], classes[2]} <= set(rows) and len(rows) == min(count, charts.MAX_CLASSES)
    if count < charts.MAX_CLASSES:
        assert charts.pixels(figure).shape[3] == 3
