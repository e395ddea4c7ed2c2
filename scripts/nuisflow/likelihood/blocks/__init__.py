"""The likelihood of large models in blocks: matrix products per sample and channel, many fits side by side (numpy).

Knows the same mathematics as `kernels`, for models of hundreds of parameters, whose fits start near a known point: one
factorised Hessian there serves as metric for all fits (chord steps), which then need gradients only. What is no
ordinary case (a bin at the edge of the physical region, a flat direction) is left to `kernels`. Start with
`evaluation`.
"""
