"""Trainings whose likelihood is that of single events: densities in place of histograms."""

eventwise = "|".join(unbinned.trainings(settings)) or "none_"


rule fill_unbinned:
    input:
        model="<results>/trainings/{training}/seed{seed}/model.pt",
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


ruleorder: fit_unbinned > fit_workspace
ruleorder: fit_unbinned > throw_toys


rule fit_unbinned:
    input:
        densities="<results>/trainings/{training}/seed{seed}/densities.parquet",
        description="<results>/trainings/{training}/seed{seed}/densities.json",
        workspace="<results>/trainings/{training}/seed{seed}/workspace.json",
        templates="<results>/trainings/{training}/seed{seed}/templates.json",
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
