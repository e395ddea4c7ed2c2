"""Simulate, ingest and process events."""


rule fetch_file:
    output:
        file=str(data_folder / "{file}"),
    log:
        "<logs>/fetch_file/{file}.log",
    wildcard_constraints:
        file="|".join(re.escape(name) for name in missing_files) or "none_",
    localrule: True
    conda:
        "../../envs/events.yaml"
    resources:
        runtime="4h",
    params:
        settings=lambda wildcards: sections.plain(
            settings.dataset.download[wildcards.file]
        ),
        code=sources.digest("fetch_file"),
    message:
        "Fetch {wildcards.file}"
    script:
        "../../scripts/fetch_file.py"


rule simulate_events:
    output:
        events="<results>/raw/{sample}.root",
    log:
        "<logs>/simulate_events/{sample}.log",
    benchmark:
        "<benchmarks>/simulate_events/{sample}.tsv"
    conda:
        "../../envs/events.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=lambda wildcards: sections.plain(
            slices.events.simulation(settings, wildcards.sample)
        ),
        code=sources.digest("simulate_events"),
    message:
        "Simulate {wildcards.sample}"
    script:
        "../../scripts/simulate_events.py"


rule ingest_events:
    input:
        raw=lambda wildcards: raw_files([wildcards.sample]),
    output:
        events="<results>/ingested/{part}/{sample}.arrow",
    log:
        "<logs>/ingest_events/{part}_{sample}.log",
    benchmark:
        "<benchmarks>/ingest_events/{part}_{sample}.tsv"
    wildcard_constraints:
        part="main|further",
    conda:
        "../../envs/events.yaml"
    resources:
        mem_mb=1500,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.events.ingestion(settings, wildcards.sample, wildcards.part)
        ),
        # Snakemake sorts inputs, and rows are numbered in the order of files.
        files=lambda wildcards: paths.sized(settings, user_files[wildcards.sample]),
        shared=lambda wildcards: (
            shared_files[wildcards.sample] if wildcards.part == "main" else {}
        ),
        code=sources.digest("ingest_events"),
    message:
        "Ingest {wildcards.sample} ({wildcards.part} columns)"
    script:
        "../../scripts/ingest_events.py"


rule process_events:
    input:
        raw=lambda wildcards: raw_files([wildcards.sample]),
        ingested=lambda wildcards: ingested_files([wildcards.sample])[0],
        further=lambda wildcards: further_files([wildcards.sample]),
        ratios=lambda wildcards: ratio_files([wildcards.sample]),
    output:
        events="<results>/events/{variation}/{sample}.parquet",
    log:
        "<logs>/process_events/{variation}_{sample}.log",
    benchmark:
        "<benchmarks>/process_events/{variation}_{sample}.tsv"
    conda:
        "../../envs/events.yaml"
    threads: settings.dask.cores
    resources:
        mem_mb=1500,
        runtime="2h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.events.processing(settings, wildcards.sample, wildcards.variation)
        ),
        origins=lambda wildcards: origins([wildcards.sample]),
        code=sources.digest("process_events", *datasets.code(settings.dataset)),
    message:
        "Process {wildcards.sample} ({wildcards.variation})"
    script:
        "../../scripts/process_events.py"
