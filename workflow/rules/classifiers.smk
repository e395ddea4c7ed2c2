"""What every classifier knows beside the measurement: separation, over-training, calibration."""


rule judge_trainings:
    input:
        models=each_training("model.pt"),
        scores=each_training("scores.parquet"),
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=settings.simulated,
        ),
    output:
        table="<results>/comparison/classifiers.csv",
        curves="<results>/comparison/classifiers.json",
        importance="<results>/comparison/importance.csv",
    log:
        "<logs>/judge_trainings.log",
    benchmark:
        "<benchmarks>/judge_trainings.tsv"
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=sections.plain(slices.classifiers.slice_of(settings)),
        code=sources.digest(
            "judge_trainings",
            *sorted({m for t in settings.trainings.values() for m in t.modules}),
        ),
    message:
        "Judge the classifiers"
    script:
        "../../scripts/judge_trainings.py"


rule plot_classifiers:
    input:
        curves="<results>/comparison/classifiers.json",
    output:
        compared=report(
            collect(
                "<results>/comparison/classifiers.{format}", format=["svg", "pdf"]
            ),
            caption="../report/classifiers.rst",
            category="Comparison",
        ),
        figures=collect(
            "<results>/trainings/{training}/figures/classifier.{format}",
            training=settings.trainings,
            format=["svg", "pdf"],
        ),
    log:
        "<logs>/plot_classifiers.log",
    benchmark:
        "<benchmarks>/plot_classifiers.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.classifiers.words(settings)),
        code=sources.digest("plot_classifiers"),
    message:
        "Plot the classifiers"
    script:
        "../../scripts/plot_classifiers.py"
