"""What others need beside the report: a submission to HEPData and tables for LaTeX. `make publication` runs it."""


rule write_publication:
    input:
        trainings="<results>/comparison/trainings.csv",
        breakdown="<results>/comparison/breakdown.csv",
        coverage="<results>/comparison/coverage.csv",
        fits=each_training("fit.json"),
        figures=collect(
            "<results>/comparison/{figure}.pdf",
            figure=slices.report.COMPARISON_FIGURES,
        ),
        workspaces=collect(
            "<results>/trainings/{training}/seed1/workspace.json",
            training=slices.studies.trainings(settings),
        ),
    output:
        submission="<results>/hepdata/submission.yaml",
        tables=collect(
            "<results>/hepdata/{table}.yaml",
            table=slices.publication.tables(settings),
        ),
        resources=collect(
            "<results>/hepdata/{name}",
            name=slices.publication.resources(settings),
        ),
        documents=report(
            collect(
                "<results>/latex/{document}.tex",
                document=slices.publication.documents(settings),
            ),
            caption="../report/latex.rst",
            category="Tables for LaTeX",
        ),
    log:
        "<logs>/write_publication.log",
    benchmark:
        "<benchmarks>/write_publication.tsv"
    conda:
        "../../envs/publication.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.report(settings)),
        code=sources.digest("write_publication"),
    message:
        "Write the publication"
    script:
        "../../scripts/write_publication.py"
