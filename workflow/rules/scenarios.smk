"""Expected uncertainties in named scenarios, beside what is best possible and what was published; and what if?"""


rule compute_scenarios:
    input:
        templates=each_training("templates.json"),
        displaced=(
            each_training("displaced.json")
            if slices.scenarios.are_displaced(settings)
            else []
        ),
        unbinned=collect(
            "<results>/trainings/{training}/seed{seed}/fit.json",
            training=unbinned.trainings(settings),
            seed=seeds,
        ),
    output:
        scenarios="<results>/comparison/scenarios.csv",
        published="<results>/comparison/published.csv",
    log:
        "<logs>/compute_scenarios.log",
    benchmark:
        "<benchmarks>/compute_scenarios.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1500,
        runtime="30m",
    params:
        settings=sections.plain(slices.scenarios.slice_of(settings)),
        code=sources.digest("compute_scenarios"),
    message:
        "Compute the scenarios"
    script:
        "../../scripts/compute_scenarios.py"


rule compute_exact:
    output:
        exact="<results>/comparison/exact.csv",
    log:
        "<logs>/compute_exact.log",
    benchmark:
        "<benchmarks>/compute_exact.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings={"toys": settings.toys.number, "seed": settings.seed},
        code=sources.digest("compute_exact"),
    message:
        "Compute exact templates"
    script:
        "../../scripts/compute_exact.py"


rule compute_what_if:
    input:
        fits=each_training("fit.json"),
        likelihoods=[
            f"<results>/trainings/{training}/seed{seed}/{slices.scenarios.likelihood(settings, training)}"
            for training in settings.trainings
            for seed in seeds
        ],
    output:
        content="<results>/comparison/what_if.json",
        table="<results>/comparison/what_if.csv",
    log:
        "<logs>/compute_what_if.log",
    benchmark:
        "<benchmarks>/compute_what_if.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1500,
        runtime="1h",
    params:
        settings=sections.plain(slices.scenarios.what_if(settings)),
        code=sources.digest("compute_what_if"),
    message:
        "Ask what if"
    script:
        "../../scripts/compute_what_if.py"
