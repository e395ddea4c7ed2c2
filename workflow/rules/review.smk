"""What a reviewer asks of machine learning: prediction sets, uncertainty by event, features, variations."""


rule predict_sets:
    input:
        scores=each_training("scores.parquet"),
        displaced=(
            each_training("displaced_scores.parquet")
            if event_files(points.shifted_folders)
            else []
        ),
        events=reviewed_events("predict_sets"),
    output:
        table="<results>/comparison/conformal.csv",
    log:
        "<logs>/predict_sets.log",
    benchmark:
        "<benchmarks>/predict_sets.tsv"
    conda:
        "../../envs/review.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=sections.plain(slices.review.conformal(settings)),
        code=sources.digest("predict_sets"),
    message:
        "Predict sets"
    script:
        "../../scripts/predict_sets.py"


rule separate_uncertainty:
    input:
        models=each_training("model.pt", members=2),
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=settings.simulated,
        ),
    output:
        table="<results>/comparison/epistemic.csv",
        curves="<results>/comparison/epistemic.json",
    log:
        "<logs>/separate_uncertainty.log",
    benchmark:
        "<benchmarks>/separate_uncertainty.tsv"
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=sections.plain(slices.review.spread(settings)),
        code=sources.digest(
            "separate_uncertainty",
            *sorted(
                {
                    m
                    for t in settings.trainings.values()
                    if t.members > 1
                    for m in t.modules
                }
            ),
        ),
    message:
        "Separate the uncertainty of events"
    script:
        "../../scripts/separate_uncertainty.py"


rule permute_features:
    input:
        models=slices.review.permuted_files(settings, "model.pt"),
        templates=slices.review.permuted_files(settings, "templates.json"),
        events=reviewed_events("permute_features"),
    output:
        table="<results>/comparison/permutation.csv",
    log:
        "<logs>/permute_features.log",
    benchmark:
        "<benchmarks>/permute_features.tsv"
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=sections.plain(slices.review.permutation(settings)),
        code=sources.digest(
            "permute_features",
            *sorted({m for t in settings.trainings.values() for m in t.modules}),
        ),
    message:
        "Permute the features"
    script:
        "../../scripts/permute_features.py"


rule distinguish_variations:
    input:
        events=reviewed_events("distinguish_variations"),
    output:
        table="<results>/comparison/visibility.csv",
    log:
        "<logs>/distinguish_variations.log",
    benchmark:
        "<benchmarks>/distinguish_variations.tsv"
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=sections.plain(slices.review.visibility(settings)),
        code=sources.digest("distinguish_variations"),
    message:
        "Distinguish the variations"
    script:
        "../../scripts/distinguish_variations.py"


rule plot_review:
    input:
        conformal="<results>/comparison/conformal.csv",
        epistemic=epistemic_files("epistemic.json"),
    output:
        figures=report(
            collect(
                "<results>/comparison/{figure}.{format}",
                figure=slices.review.figures(settings),
                format=["svg", "pdf"],
            ),
            category="Comparison",
        ),
    log:
        "<logs>/plot_review.log",
    benchmark:
        "<benchmarks>/plot_review.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.review.words(settings)),
        code=sources.digest("plot_review"),
    message:
        "Plot the review"
    script:
        "../../scripts/plot_review.py"
