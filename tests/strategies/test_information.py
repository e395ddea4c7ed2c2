import gaussians
import numpy as np
import pytest
import torch

from nuisflow.learning import batches, loop
from nuisflow.likelihood import fits
from nuisflow.likelihood.model import Model
from nuisflow.strategies import information

VARIATIONS = ("shift", "rate", "weight")
BINS = 6


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def soft(signal, total, variance=0.0, delta=1.0):
    """Return templates from arrays; *total* has a row at z = 0, then two per variation at +-delta."""
    total = np.array(total, dtype=float)
    slopes = np.vstack([signal, (total[1::2] - total[2::2]) / (2 * delta)])
    variance = np.broadcast_to(variance, np.shape(signal)).copy()
    return information.Templates(*map(torch.from_numpy, (total[0], variance, slopes[:, None])))


def a_case(seed=1, variations=2, bins=BINS):
    """Return templates of a measurement with nuisance parameters of a few percent per bin."""
    generator = np.random.default_rng(seed)
    signal, background = generator.uniform(5, 20, bins), generator.uniform(50, 200, bins)
    rows = [signal + background]
    for _ in range(variations):
        change = generator.normal(0, 0.05, bins) * background
        rows += [rows[0] + change, rows[0] - change]
    return soft(signal, rows, generator.uniform(5, 30, bins))


def workspace(templates, statistics):
    """Return the pyhf workspace of *templates* whose variations are those at z = +-1."""
    total, variance, (signal, *slopes) = (
        values.squeeze(1).numpy() if values.ndim == 3 else values.numpy() for values in templates
    )
    background, errors = total - signal, np.sqrt(variance)
    modifiers = [
        {"name": f"z{index}", "type": "histosys", "data": {"hi_data": (background + slope).tolist(), "lo_data": (background - slope).tolist()}}
        for index, slope in enumerate(slopes)
    ]  # fmt: skip
    samples = [
        {"name": "signal", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "background", "data": background.tolist(), "modifiers": modifiers},
    ]
    if statistics:  # an error of 0 on the signal makes the factors act on the total
        for sample, data in zip(samples, (np.zeros_like(errors), errors), strict=True):
            sample["modifiers"].append({"name": "mc", "type": "staterror", "data": data.tolist()})
    return {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": total.tolist()}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_expected_uncertainty_is_that_of_a_fit_of_the_workspace(seed, statistics):
    templates = a_case(seed)
    model = Model(workspace(templates, statistics))
    result = fits.fit(model)
    expected = result.errors[model.names.index("mu")]
    found = information.uncertainty(templates, [False, False], mc_statistics=statistics)
    assert float(found) == pytest.approx(expected, rel=2e-5)


def test_variations_that_change_nothing_leave_the_statistical_uncertainty():
    signal, background = np.array([1.0, 5.0, 9.0]), np.array([90.0, 50.0, 10.0])
    total = np.tile(signal + background, (5, 1))
    found = information.uncertainty(soft(signal, total), [False, True])
    assert float(found) == pytest.approx(1 / np.sqrt(np.sum(signal**2 / total[0])), rel=1e-5)


def test_a_free_parameter_is_worse_than_a_constrained_one_and_any_is_worse_than_none():
    templates = a_case()
    none = information.uncertainty(templates._replace(slopes=templates.slopes[:1]), [])
    constrained = information.uncertainty(templates, [False, False])
    free = information.uncertainty(templates, [True, True])
    assert none < constrained < free


def test_the_order_of_the_bins_does_not_matter():
    templates, order = a_case(), torch.randperm(BINS, generator=torch.Generator().manual_seed(1))
    moved = information.Templates(*(values[..., order] for values in templates))
    one, other = (information.uncertainty(t, [False, True], mc_statistics=True) for t in (templates, moved))
    assert float(one) == pytest.approx(float(other), rel=1e-12)


def test_with_infinitely_many_simulated_events_mc_statistics_do_not_matter():
    templates = a_case()
    without = float(information.uncertainty(templates, [False, False]))
    widths = [
        float(information.uncertainty(templates._replace(variance=templates.variance / scale), [False, False], mc_statistics=True))
        for scale in (1, 10, 1e9)
    ]  # fmt: skip
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] == pytest.approx(without, rel=1e-8)


def test_empty_bins_change_nothing():
    templates = a_case()
    padded = information.Templates(*(torch.cat([part, torch.zeros_like(part[..., :2])], dim=-1) for part in templates))
    one, other = (information.uncertainty(t, [False, False]) for t in (templates, padded))
    assert float(one) == pytest.approx(float(other), rel=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    templates = a_case(bins=3)

    def width(*parts):
        found = information.Templates(*parts)
        return information.uncertainty(found, [False, True], mc_statistics=True, unbiased=True)

    many = templates._replace(slopes=templates.slopes.expand(-1, 50, -1) / 50)
    assert float(width(*many)) > float(information.uncertainty(many, [False, True], mc_statistics=True))
    assert torch.autograd.gradcheck(width, [values.clone().requires_grad_() for values in many])


def test_noise_that_would_leave_no_information_is_not_subtracted():
    templates = a_case()  # the slopes of a single event: all of them are noise
    one, other = (information.uncertainty(templates, [False, False], unbiased=choice) for choice in (False, True))
    assert float(one) == float(other)


def test_points_are_up_and_down_of_one_variation_after_the_other():
    assert information.points(2, 0.5).tolist() == [[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]]


def fold(delta=0.5, **options):
    """Return the events of one fold of two Gaussians at +-delta of a shift, a rate and a weight, with a selection."""
    regions = {"inside": {"selection": "y > -0.5", "observable": "score"}}
    pool = gaussians.pool(
        {"strategy": "augmentation", "variations": VARIATIONS}, events={"regions": regions}, **options
    )
    return pool, batches.fold_events(pool, 0, points=information.points(3, delta))


def classes(features):
    """Return a class of every event, from its features alone."""
    return torch.clamp(torch.floor(features[:, 0] + features[:, 1] + BINS / 2), 0, BINS - 1).long()


def test_templates_are_the_weighted_histograms_at_every_point():
    pool, events = fold()
    batch = loop.to_device(events.train(), "cpu")
    rows = information.Rows(batch)
    found = rows.templates(torch.nn.functional.one_hot(classes(rows.features), BINS).float(), 0.5)
    size, histograms = events.train_size, []
    part = [batch.share[batch.labels == label].sum().item() for label in (0, 1)]
    for point in (np.zeros(3), *information.points(3, 0.5)):
        own = pool.events(events.train_rows, np.tile(point, (size, 1)), events.scaling)
        labels = own.labels == 1
        weights = own.expected / np.where(labels, part[1], part[0])
        filled = classes(torch.from_numpy(own.features)).numpy()
        histograms.append(np.bincount(filled, weights=weights, minlength=BINS))
        if not point.any():
            signal = np.bincount(filled[labels], weights=weights[labels], minlength=BINS)
            variance = np.bincount(filled, weights=weights * own.expected, minlength=BINS)
    assert found.total.numpy() == pytest.approx(histograms[0], rel=1e-4)
    assert found.variance.numpy() == pytest.approx(variance, rel=1e-4)
    slopes = found.slopes.sum(dim=1).numpy()
    assert slopes[0] == pytest.approx(signal, rel=1e-4)
    for index in range(3):
        slope = histograms[1 + 2 * index] - histograms[2 + 2 * index]
        assert slopes[1 + index] == pytest.approx(slope, abs=1e-3 * np.abs(slope).max())


def everything(batch):
    """Return the templates with one bin."""
    rows = information.Rows(batch)
    return rows.templates(torch.ones(len(rows.features), 1), 0.5)


def shuffled(batch, seed=1):
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(seed))
    return type(batch)(*(values[order] for values in batch))


def test_a_batch_stands_for_the_full_yields_and_the_full_variance():
    pool, events = fold()
    full = pool.events({name: np.arange(len(columns["entry"])) for name, columns in pool.samples.items()})
    batch = loop.to_device(events.train(), "cpu")
    found = everything(batch)
    assert float(found.slopes[0].sum()) == pytest.approx(full.expected[full.labels == 1].sum(), rel=0.03)
    assert float(found.total) == pytest.approx(full.expected.sum(), rel=0.03)
    assert float(found.variance) == pytest.approx(np.square(full.expected).sum(), rel=0.03)
    for part in loop.sliced(shuffled(batch), 500):
        assert float(everything(part).total) == pytest.approx(float(found.total), rel=1e-4)


def test_the_information_of_small_batches_is_unbiased():
    _, events = fold(number=8000)
    batch = loop.to_device(events.train(), "cpu")

    def products(part, less):
        rows = information.Rows(part)
        found = rows.templates(torch.nn.functional.one_hot(classes(rows.features), BINS).float(), 0.5)
        slope = found.slopes[1].double()  # by the shift: its noise is that of the few events that cross an edge
        return float(slope.sum(dim=0).square().sum() - less * slope.square().sum())

    exact = products(batch, 1.0)
    ratios = {}
    for less in (0.0, 1.0):
        found = [products(part, less) for seed in range(8) for part in loop.sliced(shuffled(batch, seed), 100)]  # fmt: skip
        ratios[less] = np.mean(found) / exact, np.std(found) / np.sqrt(len(found)) / exact
    assert ratios[0.0][0] > 1.2
    assert ratios[1.0][0] == pytest.approx(1, abs=4 * ratios[1.0][1])


def test_a_batch_of_one_class_is_an_error_with_the_remedy():
    _, events = fold()
    batch = next(loop.sliced(loop.to_device(events.train(), "cpu"), 10))  # the events are not shuffled
    with pytest.raises(ValueError, match=r"10 events.*raise batch_size"):
        everything(batch)


def test_only_rows_that_differ_pass_through_the_network():
    _, events = fold()
    batch = loop.to_device(events.train(), "cpu")
    rows = information.Rows(batch)
    shifted = int((batch.labels == 1).sum())  # the shift acts on signal only; the rate and the weight change no feature
    assert len(rows.features) <= len(batch.labels) + 2 * shifted
    assert len(rows.features) > len(batch.labels) + shifted
