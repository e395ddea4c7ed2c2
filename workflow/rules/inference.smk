"""Templates, workspaces, fits and pseudo-experiments of every training."""


rule fill_templates:
    input:
        events=event_files(list(settings.samples)),
        scores="<results>/trainings/{training}/seed{seed}/scores.parquet",
    output:
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        notes="<results>/trainings/{training}/seed{seed}/templates_notes.json",
    log:
        "<logs>/fill_templates/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fill_templates/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=slices.plain(slices.filling(settings)),
        code=sources.digest("fill_templates"),
    message:
        "Fill templates of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fill_templates.py"


rule build_workspace:
    input:
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
    output:
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        notes="<results>/trainings/{training}/seed{seed}/workspace_notes.json",
    log:
        "<logs>/build_workspace/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/build_workspace/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=500,
        runtime="30m",
    params:
        settings=slices.plain(slices.workspace(settings)),
        code=sources.digest("build_workspace"),
    message:
        "Build the workspace of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/build_workspace.py"


rule fit_workspace:
    input:
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
    output:
        fit="<results>/trainings/{training}/seed{seed}/fit.json",
        impacts="<results>/trainings/{training}/seed{seed}/impacts.csv",
        scan="<results>/trainings/{training}/seed{seed}/scan.csv",
    log:
        "<logs>/fit_workspace/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fit_workspace/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=slices.plain(slices.fit(settings)),
        code=sources.digest("fit_workspace"),
    message:
        "Fit {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fit_workspace.py"


rule throw_toys:
    input:
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
    output:
        toys="<results>/trainings/{training}/seed{seed}/toys.parquet",
        coverage="<results>/trainings/{training}/seed{seed}/coverage.json",
    log:
        "<logs>/throw_toys/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/throw_toys/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="2h",
    params:
        settings=lambda wildcards: slices.plain(
            slices.toys(settings, wildcards.training, int(wildcards.seed))
        ),
        code=sources.digest("throw_toys"),
    message:
        "Throw toys for {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/throw_toys.py"
