"""What is known of learned densities without a fit: numbers that are 0, or 1, if they are right (closure).

Start with `numbers`, which asks everything; `probes` are the simulated events that are asked, at nominal and at other
z, each judged by networks that have not seen it. Differences are told in standard deviations that simulation would have
by chance, and in those that data of this size would see (`differences`).
"""
