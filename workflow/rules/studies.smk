"""How much is enough: trainings, templates and fits with a part of the events (studies)."""

studies = "|".join(type(settings.studies).model_fields)
of_workspaces = "|".join(slices.inference.of_one_workspace(settings)) or "none_"


use rule train_network as train_size with:
    output:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        history="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/history.csv",
    log:
        "<logs>/train_size/{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/train_size/{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        size="[0-9.]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.training(
                settings, wildcards.training, int(wildcards.seed), wildcards.size
            )
        ),
        origins=lambda wildcards: origins(learned_samples(wildcards.training)),
        code=lambda wildcards: sources.digest(
            "train_network",
            *settings.trainings[wildcards.training].modules,
            *datasets.code(settings.dataset),
        ),
    message:
        "Train {wildcards.training} on {wildcards.size} of the events (seed {wildcards.seed})"


use rule score_events as score_size with:
    input:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        events=event_files(),
    output:
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
    log:
        "<logs>/score_size/{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/score_size/{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        size="[0-9.]+",
    message:
        "Score events with {wildcards.training}, trained on {wildcards.size} of them (seed {wildcards.seed})"


use rule fill_templates as fill_size with:
    input:
        events=event_files(),
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
    output:
        templates="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/templates.json",
        notes="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/templates_notes.json",
    log:
        "<logs>/fill_size/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/fill_size/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=f"{rescored}|{eventwise}",
        study=studies,
        size="[0-9.]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.filling(
                settings, wildcards.training, wildcards.study, wildcards.size
            )
        ),
        code=sources.digest("fill_templates"),
    message:
        "Fill templates of {wildcards.training} with {wildcards.size} of {wildcards.study} (seed {wildcards.seed})"


rule measure_size:
    input:
        events=event_files(),
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
    output:
        workspace="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/workspace.json",
        measured="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json",
    log:
        "<logs>/measure_size/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_size/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=of_workspaces,
        study=studies,
        size="[0-9.]+",
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.measurement(
                settings,
                wildcards.training,
                int(wildcards.seed),
                wildcards.study,
                wildcards.size,
            )
        ),
        code=sources.digest("measure_size"),
    message:
        "Measure {wildcards.training} with {wildcards.size} of {wildcards.study} (seed {wildcards.seed})"
    script:
        "../../scripts/measure_size.py"


rule measure_conditional:
    input:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        templates="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
    output:
        workspaces="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/workspaces.json",
        measured="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json",
    log:
        "<logs>/measure_conditional/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_conditional/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=rescored,
        study=studies,
        size="[0-9.]+",
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.conditional_measurement(
                settings,
                wildcards.training,
                int(wildcards.seed),
                wildcards.study,
                wildcards.size,
            )
        ),
        code=sources.digest("measure_conditional", "strategies/conditional.py"),
    message:
        "Measure {wildcards.training} with {wildcards.size} of {wildcards.study} (seed {wildcards.seed})"
    script:
        "../../scripts/measure_conditional.py"


use rule train_replica as train_size_replica with:
    output:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/replicas/{replica}/model.pt",
        history="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/replicas/{replica}/history.csv",
    log:
        "<logs>/train_size_replica/{size}_{training}_seed{seed}_replica{replica}.log",
    benchmark:
        "<benchmarks>/train_size_replica/{size}_{training}_seed{seed}_replica{replica}.tsv"
    wildcard_constraints:
        training=eventwise,
        size="[0-9.]+",
        replica="[0-9]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.training(
                settings,
                wildcards.training,
                int(wildcards.seed),
                wildcards.size,
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
        "Train replica {wildcards.replica} of {wildcards.training} on {wildcards.size} of the events"


use rule spread_replicas as spread_size with:
    input:
        models=lambda wildcards: [
            f"<results>/studies/trained/{wildcards.size}/trainings/{wildcards.training}/seed{wildcards.seed}/replicas/{replica}/model.pt"
            for replica in unbinned.replicas(settings, wildcards.training)
        ],
        templates="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
    output:
        replicas="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/replicas.csv",
    log:
        "<logs>/spread_size/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/spread_size/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
        study=studies,
        size="[0-9.]+",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.densities(settings, wildcards.study, wildcards.size)
        ),
        code=sources.digest("spread_replicas", "strategies/unbinned.py"),
    message:
        "Fit with replicas of {wildcards.size} of {wildcards.study}: {wildcards.training}"


rule measure_unbinned:
    input:
        model="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/model.pt",
        scores="<results>/studies/trained/{size}/trainings/{training}/seed{seed}/scores.parquet",
        templates="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/templates.json",
        events=event_files() + event_files(points.folders),
        replicas=lambda wildcards: (
            [
                f"<results>/studies/{wildcards.study}/{wildcards.size}/trainings/{wildcards.training}/seed1/replicas.csv"
            ]
            if unbinned.replicas(settings, wildcards.training)
            else []
        ),
    output:
        description="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/densities.json",
        measured="<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json",
    log:
        "<logs>/measure_unbinned/{study}_{size}_{training}_seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_unbinned/{study}_{size}_{training}_seed{seed}.tsv"
    wildcard_constraints:
        training=eventwise,
        study=studies,
        size="[0-9.]+",
    conda:
        "../../envs/members.yaml"
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.studies.unbinned_measurement(
                settings,
                wildcards.training,
                int(wildcards.seed),
                wildcards.study,
                wildcards.size,
            )
        ),
        code=sources.digest("measure_unbinned", "strategies/unbinned.py"),
    message:
        "Measure {wildcards.training} with {wildcards.size} of {wildcards.study} (seed {wildcards.seed})"
    script:
        "../../scripts/measure_unbinned.py"


rule compare_studies:
    input:
        measured=[
            f"<results>/studies/{study}/{size}/trainings/{training}/seed{seed}/measured.json"
            for study, size in slices.studies.runs(settings)
            for training in settings.trainings
            for seed in seeds
        ],
        fits=each_training("fit.json"),
        coverages=each_training("coverage.json"),
    output:
        table="<results>/comparison/studies.csv",
        laws="<results>/comparison/power_laws.csv",
        figures=report(
            collect("<results>/comparison/studies.{format}", format=["svg", "pdf"]),
            caption="../report/studies.rst",
            category="Comparison",
        ),
    log:
        "<logs>/compare_studies.log",
    benchmark:
        "<benchmarks>/compare_studies.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.studies.comparison_of(settings)),
        code=sources.digest("compare_studies"),
    message:
        "Compare the sizes"
    script:
        "../../scripts/compare_studies.py"
