"""Look at the features before any training: yields, figures, agreement with data. `make inputs` runs these rules alone."""


rule bin_inputs:
    input:
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=settings.simulated,
        ),
    output:
        axes="<results>/inputs/axes.json",
    log:
        "<logs>/bin_inputs.log",
    benchmark:
        "<benchmarks>/bin_inputs.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=sections.plain(slices.inputs.binning(settings)),
        code=sources.digest("bin_inputs"),
    message:
        "Choose the bins of the features"
    script:
        "../../scripts/bin_inputs.py"


rule fill_inputs:
    input:
        axes="<results>/inputs/axes.json",
        events=lambda wildcards: [
            f"<results>/events/{variation}/{wildcards.sample}.parquet"
            for variation in slices.events.shifted_names(settings, wildcards.sample)
        ],
    output:
        histograms="<results>/inputs/histograms/{sample}.json",
        sums="<results>/inputs/sums/{sample}.json",
    log:
        "<logs>/fill_inputs/{sample}.log",
    benchmark:
        "<benchmarks>/fill_inputs/{sample}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.inputs.filling(settings, wildcards.sample)
        ),
        code=sources.digest("fill_inputs"),
    message:
        "Fill the features of {wildcards.sample}"
    script:
        "../../scripts/fill_inputs.py"


rule compare_inputs:
    input:
        axes="<results>/inputs/axes.json",
        histograms=collect(
            "<results>/inputs/histograms/{sample}.json",
            sample=slices.inputs.samples(settings),
        ),
        sums=collect(
            "<results>/inputs/sums/{sample}.json",
            sample=slices.inputs.samples(settings),
        ),
    output:
        content="<results>/inputs/regions/{region}/content.json",
        yields="<results>/inputs/regions/{region}/yields.csv",
        features="<results>/inputs/regions/{region}/features.csv",
        variations="<results>/inputs/regions/{region}/variations.csv",
    log:
        "<logs>/compare_inputs/{region}.log",
    benchmark:
        "<benchmarks>/compare_inputs/{region}.tsv"
    conda:
        "../../envs/inference.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=lambda wildcards: sections.plain(
            slices.inputs.comparison(settings, wildcards.region)
        ),
        code=sources.digest("compare_inputs"),
    message:
        "Compare the features in {wildcards.region}"
    script:
        "../../scripts/compare_inputs.py"


rule plot_inputs:
    input:
        content="<results>/inputs/regions/{region}/content.json",
    output:
        figures=collect(
            "<results>/inputs/regions/{{region}}/figures/{feature}.svg",
            feature=slices.inputs.figures(settings),
        ),
        document=report(
            "<results>/inputs/regions/{region}/features.pdf",
            caption="../report/features.rst",
            category="Features",
            labels={"region": "{region}"},
        ),
        tables=collect(
            "<results>/inputs/regions/{{region}}/{figure}.{format}",
            figure=slices.inputs.TABLES,
            format=["svg", "pdf"],
        ),
    log:
        "<logs>/plot_inputs/{region}.log",
    benchmark:
        "<benchmarks>/plot_inputs/{region}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="1h",
    params:
        settings=sections.plain(slices.inputs.words(settings)),
        code=sources.digest("plot_inputs"),
    message:
        "Plot the features in {wildcards.region}"
    script:
        "../../scripts/plot_inputs.py"


rule write_inputs:
    input:
        parts=[
            str(sources.SCRIPTS / "nuisflow" / "report" / name)
            for name in slices.inputs.PARTS
        ],
        contents=collect(
            "<results>/inputs/regions/{region}/content.json", region=settings.regions
        ),
        figures=input_figures(),
    output:
        page="<results>/inputs.html",
    log:
        "<logs>/write_inputs.log",
    benchmark:
        "<benchmarks>/write_inputs.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        runtime="30m",
    params:
        settings=sections.plain(slices.inputs.words(settings)),
        code=sources.digest("write_inputs"),
    message:
        "Write the page on the features"
    script:
        "../../scripts/write_inputs.py"
