"""Two-point variations that are made continuous: nominal events are reweighted to the alternative ones."""


use rule train_network as train_reweighting with:
    input:
        raw=lambda wildcards: raw_files(compared_samples(wildcards.reweighting)),
        ingested=lambda wildcards: ingested_files(
            compared_samples(wildcards.reweighting)
        ),
        ratios=[],
        tuned=[],
    output:
        model="<results>/reweighting/{reweighting}/model.pt",
        history="<results>/reweighting/{reweighting}/history.csv",
    log:
        "<logs>/train_reweighting/{reweighting}.log",
    benchmark:
        "<benchmarks>/train_reweighting/{reweighting}.tsv"
    params:
        settings=lambda wildcards: sections.plain(
            slices.reweighting.reweighting_training(settings, wildcards.reweighting)
        ),
        origins=lambda wildcards: origins(compared_samples(wildcards.reweighting)),
        code=sources.digest(
            "train_network", "strategies/nominal.py", *datasets.code(settings.dataset)
        ),
    message:
        "Train the reweighting of {wildcards.reweighting}"


rule reweight_events:
    input:
        raw=lambda wildcards: raw_files(compared_samples(wildcards.reweighting)),
        ingested=lambda wildcards: ingested_files(
            compared_samples(wildcards.reweighting)
        ),
        model="<results>/reweighting/{reweighting}/model.pt",
    output:
        ratios="<results>/reweighting/{reweighting}/{sample}.parquet",
    log:
        "<logs>/reweight_events/{reweighting}_{sample}.log",
    benchmark:
        "<benchmarks>/reweight_events/{reweighting}_{sample}.tsv"
    conda:
        "../../envs/training.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.reweighting.reweighting(
                settings, wildcards.reweighting, wildcards.sample
            )
        ),
        origins=lambda wildcards: origins(compared_samples(wildcards.reweighting)),
        code=sources.digest(
            "reweight_events",
            "strategies/nominal.py",
            *datasets.code(settings.dataset),
        ),
    message:
        "Reweight {wildcards.sample} ({wildcards.reweighting})"
    script:
        "../../scripts/reweight_events.py"
