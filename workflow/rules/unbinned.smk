"""Trainings whose likelihood is that of single events: densities in place of histograms."""

eventwise = "|".join(unbinned.trainings(settings)) or "none_"


rule fill_unbinned:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
    output:
        densities="<results>/trainings/{training}/seed{seed}/densities.parquet",
        description="<results>/trainings/{training}/seed{seed}/densities.json",
    log:
        "<logs>/fill_unbinned/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fill_unbinned/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=sections.plain(slices.unbinned.filling(settings)),
        code=sources.digest("fill_unbinned", "strategies/unbinned.py"),
    message:
        "Find the densities of all events: {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fill_unbinned.py"


use rule train_network as train_replica with:
    output:
        model="<results>/trainings/{training}/seed{seed}/replicas/{replica}/model.pt",
        history="<results>/trainings/{training}/seed{seed}/replicas/{replica}/history.csv",
    log:
        "<logs>/train_replica/{training}_seed{seed}_replica{replica}.log",
    benchmark:
        "<benchmarks>/train_replica/{training}_seed{seed}_replica{replica}.tsv"
    wildcard_constraints:
        training=eventwise,
        replica="[0-9]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.training.training(
                settings,
                wildcards.training,
                int(wildcards.seed),
                int(wildcards.replica),
            )
        ),
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "train_network",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Train replica {wildcards.replica} of {wildcards.training}"


rule spread_replicas:
    input:
        models=lambda wildcards: [
            f"<results>/trainings/{wildcards.training}/seed{wildcards.seed}/replicas/{replica}/model.pt"
            for replica in unbinned.replicas(settings, wildcards.training)
        ],
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
    output:
        replicas="<results>/trainings/{training}/seed{seed}/replicas.csv",
    log:
        "<logs>/spread_replicas/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/spread_replicas/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        settings=sections.plain(
            slices.unbinned.filling(settings).model_copy(
                update={"thrown": ("nominal",)}
            )
        ),
        code=sources.digest("spread_replicas", "strategies/unbinned.py"),
    message:
        "Fit with replicas of the simulation: {wildcards.training}"
    script:
        "../../scripts/spread_replicas.py"


ruleorder: fit_unbinned > fit_workspace
ruleorder: fit_unbinned > throw_toys


rule fit_unbinned:
    input:
        densities="<results>/trainings/{training}/seed{seed}/densities.parquet",
        description="<results>/trainings/{training}/seed{seed}/densities.json",
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        displaced=collect(
            "<results>/trainings/{{training}}/seed{{seed}}/{file}.json",
            file=["displaced"] if points.displaced(settings) else [],
        ),
        replicas=lambda wildcards: (
            [f"<results>/trainings/{wildcards.training}/seed1/replicas.csv"]
            if unbinned.replicas(settings, wildcards.training)
            else []
        ),
    output:
        fit="<results>/trainings/{training}/seed{seed}/fit.json",
        impacts="<results>/trainings/{training}/seed{seed}/impacts.csv",
        scan="<results>/trainings/{training}/seed{seed}/scan.csv",
        toys="<results>/trainings/{training}/seed{seed}/toys.parquet",
        coverage="<results>/trainings/{training}/seed{seed}/coverage.json",
    log:
        "<logs>/fit_unbinned/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fit_unbinned/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        settings=lambda wildcards: {
            "samples": {
                name: sample.process for name, sample in settings.samples.items()
            },
            "fit": sections.plain(slices.inference.fit(settings)),
            "toys": sections.plain(
                slices.inference.toys(
                    settings, wildcards.training, int(wildcards.seed)
                )
            ),
        },
        code=sources.digest("fit_unbinned"),
    message:
        "Fit the events of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fit_unbinned.py"


rule publish_unbinned:
    input:
        densities="<results>/trainings/{training}/seed{seed}/densities.parquet",
        description="<results>/trainings/{training}/seed{seed}/densities.json",
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
    output:
        description="<results>/trainings/{training}/seed{seed}/likelihood/likelihood.json",
        files=collect(
            "<results>/trainings/{{training}}/seed{{seed}}/likelihood/{file}",
            file=slices.unbinned.published(settings),
        ),
    log:
        "<logs>/publish_unbinned/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/publish_unbinned/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1500,
        runtime="1h",
    params:
        settings=sections.plain(slices.unbinned.publishing(settings)),
        code=sources.digest("publish_unbinned"),
    message:
        "Publish the likelihood of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/publish_unbinned.py"


rule check_closure:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        description="<results>/trainings/{training}/seed{seed}/densities.json",
        densities="<results>/trainings/{training}/seed{seed}/densities.parquet",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        fit="<results>/trainings/{training}/seed{seed}/fit.json",
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=slices.unbinned.compared(settings),
        ),
        raw=lambda wildcards: raw_files(learned_samples(wildcards.training)),
        ingested=lambda wildcards: ingested_files(learned_samples(wildcards.training)),
        ratios=lambda wildcards: ratio_files(learned_samples(wildcards.training)),
    output:
        closure="<results>/trainings/{training}/seed{seed}/closure.json",
    log:
        "<logs>/check_closure/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/check_closure/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=1500,
        runtime="1h",
    params:
        settings=lambda wildcards: {
            "training": sections.plain(
                slices.training.training(
                    settings, wildcards.training, int(wildcards.seed)
                )
            ),
            "filling": sections.plain(slices.unbinned.filling(settings)),
        },
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "check_closure", "strategies/unbinned.py", *datasets.code(settings.dataset)
        ),
    message:
        "Check the closure of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/check_closure.py"


rule plot_closure:
    input:
        closure="<results>/trainings/{training}/seed1/closure.json",
    output:
        figures=collect(
            "<results>/trainings/{{training}}/figures/closure.{format}",
            format=["svg", "pdf"],
        ),
    log:
        "<logs>/plot_closure/{training}.log",
    benchmark:
        "<benchmarks>/plot_closure/{training}.tsv"
    wildcard_constraints:
        training=eventwise,
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.plots(settings)),
        code=sources.digest("plot_closure"),
    message:
        "Plot the closure of {wildcards.training}"
    script:
        "../../scripts/plot_closure.py"
