"""What the likelihood of single events says of responses that are no numbers."""

import numpy as np
import pytest

from nuisflow.events.scored_events import TemplateError
from nuisflow.templates import polynomials


@pytest.mark.parametrize("value", [np.inf, np.nan, 0.0])
def test_a_mean_response_beyond_all_numbers_names_process_variation_and_remedy(value):
    z, means = np.array([[0.0, 1.0], [3.0, 0.0]]), np.ones((2, 2, 2))
    polynomials.check_means(means, ("signal", "ttbar"), ("tes", "tilt"), z)
    means[1, 1, 1] = value
    with pytest.raises(TemplateError, match=r"process 'ttbar' at tes = 3 .* 'degree' .* remove the training"):
        polynomials.check_means(means, ("signal", "ttbar"), ("tes", "tilt"), z)
