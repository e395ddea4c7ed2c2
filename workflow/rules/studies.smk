"""How much is enough: trainings, templates and fits with a part of the events (studies)."""

studied = slices.studies.trainings(settings)


use rule train_network as train_size with:
    output:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        history="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/history.csv",
    log:
        "<logs>/train_size/{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/train_size/{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        size="[0-9.]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.training(
                settings, wildcards.training, int(wildcards.seed), wildcards.size
            )
        ),
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "train_network",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Train {wildcards.training} on {wildcards.size} of the events (seed {wildcards.seed})"


use rule score_events as score_size with:
    input:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        events=event_files(),
    output:
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
    log:
        "<logs>/score_size/{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/score_size/{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        size="[0-9.]+",
    message:
        "Score events with {wildcards.training}, trained on {wildcards.size} of them (seed {wildcards.seed})"


rule measure_size:
    input:
        events=event_files(),
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
    output:
        workspace="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/workspace.json",
        measured="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json",
    log:
        "<logs>/measure_size/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_size/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        study="|".join(type(settings.studies).model_fields),
        size="[0-9.]+",
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.measurement(
                settings,
                wildcards.training,
                int(wildcards.seed),
                wildcards.study,
                wildcards.size,
            )
        ),
        code=sources.digest("measure_size"),
    message:
        "Measure {wildcards.training} with {wildcards.size} of {wildcards.study} (seed {wildcards.seed})"
    script:
        "../../scripts/measure_size.py"


rule compare_studies:
    input:
        measured=[
            f"<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json"
            for study, size in slices.studies.runs(settings)
            for training in studied
            for seed in seeds
        ],
        fits=collect(
            "<results>/trainings/{training}/seed{seed}/fit.json",
            training=studied,
            seed=seeds,
        ),
        coverages=collect(
            "<results>/trainings/{training}/seed{seed}/coverage.json",
            training=studied,
            seed=seeds,
        ),
    output:
        table="<results>/comparison/studies.csv",
        laws="<results>/comparison/power_laws.csv",
        figures=report(
            collect("<results>/comparison/studies.{format}", format=["svg", "pdf"]),
            caption="../report/studies.rst",
            category="Comparison",
        ),
    log:
        "<logs>/compare_studies.log",
    benchmark:
        "<benchmarks>/compare_studies.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.studies.comparison_of(settings)),
        code=sources.digest("compare_studies"),
    message:
        "Compare the sizes"
    script:
        "../../scripts/compare_studies.py"
