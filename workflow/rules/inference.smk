"""Templates, workspaces, fits and pseudo-experiments of every training."""


rule fill_templates:
    input:
        events=event_files(),
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
        settings=lambda wildcards: sections.plain(
            slices.inference.filling(settings, wildcards.training)
        ),
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
        settings=lambda wildcards: sections.plain(
            slices.inference.workspace(settings, wildcards.training)
        ),
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
        settings=sections.plain(slices.inference.fit(settings)),
        code=sources.digest("fit_workspace"),
    message:
        "Fit {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fit_workspace.py"


rule spread_members:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=settings.simulated,
        ),
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
    output:
        members="<results>/trainings/{training}/seed{seed}/members.csv",
    log:
        "<logs>/spread_members/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/spread_members/{training}_seed{seed}.tsv"
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.inference.filling(settings, wildcards.training)
        ),
        code=lambda wildcards: sources.digest(
            "spread_members",
            *settings.trainings[wildcards.training].modules,
        ),
    message:
        "Fit the members of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/spread_members.py"


rule fill_displaced:
    input:
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
        events=event_files(points.filled_folders),
        scores="<results>/trainings/{training}/seed{seed}/scores.parquet",
        rescored=collect(
            "<results>/trainings/{{training}}/seed{{seed}}/{file}.parquet",
            file=["displaced_scores"] if event_files(points.shifted_folders) else [],
        ),
    output:
        displaced="<results>/trainings/{training}/seed{seed}/displaced.json",
    log:
        "<logs>/fill_displaced/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fill_displaced/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=sections.plain(slices.inference.displaced_filling(settings)),
        code=sources.digest("fill_displaced"),
    message:
        "Fill displaced points of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/fill_displaced.py"


rule throw_toys:
    input:
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        displaced=collect(
            "<results>/trainings/{{training}}/seed{{seed}}/{file}.json",
            file=["displaced"] if points.displaced(settings) else [],
        ),
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
        settings=lambda wildcards: sections.plain(
            slices.inference.toys(settings, wildcards.training, int(wildcards.seed))
        ),
        code=sources.digest("throw_toys"),
    message:
        "Throw toys for {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/throw_toys.py"


rule map_coverage:
    input:
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
    output:
        map="<results>/trainings/{training}/seed{seed}/coverage_map.json",
    log:
        "<logs>/map_coverage/{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/map_coverage/{training}_seed{seed}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1500,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.inference.coverage_map(
                settings, wildcards.training, int(wildcards.seed)
            )
        ),
        code=sources.digest("map_coverage"),
    message:
        "Map the coverage of {wildcards.training} (seed {wildcards.seed})"
    script:
        "../../scripts/map_coverage.py"


rule compare_coverage_maps:
    input:
        maps=collect(
            "<results>/trainings/{training}/seed1/coverage_map.json",
            training=slices.inference.of_one_workspace(settings),
        ),
    output:
        table="<results>/comparison/coverage_map.csv",
        figures=report(
            collect(
                "<results>/comparison/coverage_map.{format}",
                format=["svg", "pdf"],
            ),
            caption="../report/coverage_map.rst",
            category="Comparison",
        ),
    log:
        "<logs>/compare_coverage_maps.log",
    benchmark:
        "<benchmarks>/compare_coverage_maps.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.plots(settings)),
        code=sources.digest("compare_coverage_maps"),
    message:
        "Compare the coverage maps"
    script:
        "../../scripts/compare_coverage_maps.py"
