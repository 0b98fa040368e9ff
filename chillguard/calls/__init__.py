"""One model call: request, answer, outcome, key; numbered answers, probabilities, refusals."""
