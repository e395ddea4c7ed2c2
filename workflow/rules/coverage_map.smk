"""Pseudo-experiments at random true points, from the workspaces (toys.map)."""


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
            slices.coverage_map.slice_of(
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
            training=slices.coverage_map.trainings(settings),
        ),
    output:
        table="<results>/comparison/coverage_map.csv",
        figures=report(
            collect(
                "<results>/comparison/coverage_map.{format}",
                format=["svg", "pdf"],
            ),
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
