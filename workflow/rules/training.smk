"""Train classifiers, with options chosen by trials where asked, and score events."""


rule tune_training:
    input:
        raw=lambda wildcards: raw_files(learned_samples(wildcards.training)),
        ingested=lambda wildcards: ingested_files(learned_samples(wildcards.training)),
        ratios=lambda wildcards: ratio_files(learned_samples(wildcards.training)),
    output:
        tuned="<results>/trainings/{training}/tuned.json",
        trials="<results>/trainings/{training}/trials.csv",
    log:
        "<logs>/tune_training/{training}.log",
    benchmark:
        "<benchmarks>/tune_training/{training}.tsv"
    conda:
        "../../envs/training.yaml"
    resources:
        mem_mb=1500,
        runtime="12h",
        gpu=gpus,
    params:
        settings=lambda wildcards: sections.plain(
            slices.training.training(settings, wildcards.training, 0)
        ),
        study=lambda wildcards: sections.plain(
            tuning.study(settings, wildcards.training)
        ),
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "tune_training",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Tune {wildcards.training}"
    script:
        "../../scripts/tune_training.py"


rule train_network:
    input:
        raw=lambda wildcards: raw_files(learned_samples(wildcards.training)),
        ingested=lambda wildcards: ingested_files(learned_samples(wildcards.training)),
        ratios=lambda wildcards: ratio_files(learned_samples(wildcards.training)),
        tuned=lambda wildcards: tuned_files(wildcards.training, "tuned.json"),
    output:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        history="<results>/trainings/{training}/seed{seed}/history.csv",
    log:
        "<logs>/train_network/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/train_network/{training}_seed{seed}.tsv"
    conda:
        "../../envs/training.yaml"
    resources:
        mem_mb=1500,
        runtime="4h",
        gpu=gpus,
    params:
        settings=lambda wildcards: sections.plain(
            slices.training.training(settings, wildcards.training, int(wildcards.seed))
        ),
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "train_network",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Train {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/train_network.py"


rule score_events:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        events=event_files(),
    output:
        scores="<results>/trainings/{training}/seed{seed}/scores.parquet",
    log:
        "<logs>/score_events/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/score_events/{training}_seed{seed}.tsv"
    conda:
        "../../envs/training.yaml"
    threads: settings.dask.cores
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=sections.plain(slices.training.scoring(settings)),
        code=lambda wildcards: sources.digest(
            "score_events",
            *settings.trainings[wildcards.training].modules,
        ),
    message:
        "Score events with {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/score_events.py"


use rule score_events as score_displaced with:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        events=event_files(points.shifted_folders),
    output:
        scores="<results>/trainings/{training}/seed{seed}/displaced_scores.parquet",
    log:
        "<logs>/score_displaced/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/score_displaced/{training}_seed{seed}.tsv"
    message:
        "Score displaced events with {wildcards.training} (seed {wildcards.seed})"
