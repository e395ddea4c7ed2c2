"""Trainings that are scored at every hypothesised z: their likelihood is not one workspace."""

rescored = "|".join(conditional.trainings(settings)) or "none_"


rule fill_conditional:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
    output:
        conditional="<results>/trainings/{training}/seed{seed}/conditional.json",
        patterns="<results>/trainings/{training}/seed{seed}/patterns.parquet",
    log:
        "<logs>/fill_conditional/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fill_conditional/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=rescored,
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.conditional.rescoring(settings, wildcards.training)
        ),
        code=sources.digest("fill_conditional", "strategies/conditional.py"),
    message:
        "Score at every hypothesised z: {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fill_conditional.py"


ruleorder: fit_conditional > fit_workspace
ruleorder: fit_conditional > throw_toys


rule fit_conditional:
    input:
        conditional="<results>/trainings/{training}/seed{seed}/conditional.json",
        patterns="<results>/trainings/{training}/seed{seed}/patterns.parquet",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
    output:
        fit="<results>/trainings/{training}/seed{seed}/fit.json",
        impacts="<results>/trainings/{training}/seed{seed}/impacts.csv",
        scan="<results>/trainings/{training}/seed{seed}/scan.csv",
        toys="<results>/trainings/{training}/seed{seed}/toys.parquet",
        coverage="<results>/trainings/{training}/seed{seed}/coverage.json",
        workspaces="<results>/trainings/{training}/seed{seed}/workspaces.json",
    log:
        "<logs>/fit_conditional/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fit_conditional/{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=rescored,
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=lambda wildcards: {
            "grid": sections.plain(conditional.grid(settings, wildcards.training)),
            "thrown": conditional.thrown(settings, wildcards.training),
            "workspace": sections.plain(
                slices.inference.workspace(settings, wildcards.training)
            ),
            "fit": sections.plain(slices.inference.fit(settings)),
            "toys": sections.plain(
                slices.inference.toys(
                    settings, wildcards.training, int(wildcards.seed)
                )
            ),
        },
        code=sources.digest("fit_conditional"),
    message:
        "Fit {wildcards.training} over hypothesised z (seed {wildcards.seed})"
    script:
        "../../scripts/fit_conditional.py"
