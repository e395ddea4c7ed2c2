"""What if an uncertainty were another? The Fisher information of all trainings, and exact refits beside it."""


rule compute_what_if:
    input:
        fits=each_training("fit.json"),
        likelihoods=[
            f"<results>/trainings/{training}/seed{seed}/{slices.what_if.likelihood(settings, training)}"
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
        settings=sections.plain(slices.what_if.slice_of(settings)),
        code=sources.digest("compute_what_if"),
    message:
        "Ask what if"
    script:
        "../../scripts/compute_what_if.py"
