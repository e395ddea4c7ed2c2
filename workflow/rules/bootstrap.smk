"""Pseudo-experiments made of reserved events (toys.bootstrap)."""


rule bootstrap_experiments:
    input:
        raw=raw_files(settings.simulated),
        ingested=ingested_files(settings.simulated),
        further=further_files(settings.simulated),
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        likelihood=lambda wildcards: (
            "<results>/trainings/{training}/seed{seed}/"
            + slices.bootstrap.likelihood(settings, wildcards.training)
        ),
    output:
        experiments="<results>/trainings/{training}/seed{seed}/bootstrap.parquet",
        summary="<results>/trainings/{training}/seed{seed}/bootstrap.json",
    log:
        "<logs>/bootstrap_experiments/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/bootstrap_experiments/{training}_seed{seed}.tsv"
    conda:
        "../../envs/bootstrap.yaml"
    threads: settings.dask.cores
    resources:
        mem_mb=2000,
        runtime="12h",
    params:
        settings=lambda wildcards: sections.plain(slices.bootstrap.slice_of(settings)),
        origins=origins(settings.simulated),
        code=lambda wildcards: sources.digest(
            "bootstrap_experiments",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Bootstrap experiments for {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/bootstrap_experiments.py"


rule compare_bootstrap:
    input:
        summaries=collect(
            "<results>/trainings/{training}/seed{seed}/bootstrap.json",
            training=slices.bootstrap.trainings(settings),
            seed=seeds,
        ),
    output:
        table="<results>/comparison/bootstrap.csv",
        figures=report(
            collect(
                "<results>/comparison/bootstrap.{format}",
                format=["svg", "pdf"],
            ),
            caption="../report/bootstrap.rst",
            category="Comparison",
        ),
    log:
        "<logs>/compare_bootstrap.log",
    benchmark:
        "<benchmarks>/compare_bootstrap.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.plots(settings)),
        code=sources.digest("compare_bootstrap"),
    message:
        "Compare the bootstrap experiments"
    script:
        "../../scripts/compare_bootstrap.py"
