"""Compare the trainings: tables, figures, report; where all of it comes from; and what others need (`make publication`)."""


rule compare_trainings:
    input:
        fits=each_training("fit.json"),
        histories=each_training("history.csv"),
        scores=each_training("scores.parquet"),
        coverages=each_training("coverage.json"),
        impacts=each_training("impacts.csv"),
        members=each_training("members.csv", members=2),
        events=collect(
            "<results>/events/nominal/{sample}.parquet",
            sample=settings.simulated,
        ),
    output:
        summary="<results>/comparison/summary.csv",
        trainings="<results>/comparison/trainings.csv",
        breakdown="<results>/comparison/breakdown.csv",
        limits="<results>/comparison/limits.csv",
        impacts="<results>/comparison/impacts.csv",
        coverage="<results>/comparison/coverage.csv",
        robustness="<results>/comparison/robustness.csv",
        held_out="<results>/comparison/held_out.csv",
    log:
        "<logs>/compare_trainings.log",
    benchmark:
        "<benchmarks>/compare_trainings.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1500,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.comparison(settings)),
        code=sources.digest("compare_trainings"),
    message:
        "Compare the trainings"
    script:
        "../../scripts/compare_trainings.py"


rule plot_comparison:
    input:
        summary="<results>/comparison/summary.csv",
        trainings="<results>/comparison/trainings.csv",
        coverage="<results>/comparison/coverage.csv",
    output:
        figures=report(
            collect(
                "<results>/comparison/{figure}.{format}",
                figure=slices.report.COMPARISON_FIGURES,
                format=["svg", "pdf"],
            ),
            caption="../report/comparison.rst",
            category="Comparison",
        ),
    log:
        "<logs>/plot_comparison.log",
    benchmark:
        "<benchmarks>/plot_comparison.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.plots(settings)),
        code=sources.digest("plot_comparison"),
    message:
        "Plot the comparison"
    script:
        "../../scripts/plot_comparison.py"


rule plot_training:
    input:
        histories=collect(
            "<results>/trainings/{{training}}/seed{seed}/history.csv", seed=seeds
        ),
        templates="<results>/trainings/{training}/seed1/templates.json",
        fit="<results>/trainings/{training}/seed1/fit.json",
        impacts="<results>/trainings/{training}/seed1/impacts.csv",
        scan="<results>/trainings/{training}/seed1/scan.csv",
    output:
        figures=report(
            collect(
                "<results>/trainings/{{training}}/figures/{figure}.svg",
                figure=slices.report.training_figures(settings),
            ),
            caption="../report/training.rst",
            category="Trainings",
            subcategory="{training}",
        ),
        documents=collect(
            "<results>/trainings/{{training}}/figures/{figure}.pdf",
            figure=slices.report.training_figures(settings),
        ),
    log:
        "<logs>/plot_training/{training}.log",
    benchmark:
        "<benchmarks>/plot_training/{training}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.plots(settings)),
        code=sources.digest("plot_training"),
    message:
        "Plot {wildcards.training}"
    script:
        "../../scripts/plot_training.py"


rule write_report:
    input:
        template=str(sources.SCRIPTS / "nuisflow" / "report" / "report_template.html"),
        parts=[
            str(sources.SCRIPTS / "nuisflow" / "report" / name)
            for name in slices.report.PARTS
        ],
        summary="<results>/comparison/summary.csv",
        trainings="<results>/comparison/trainings.csv",
        breakdown="<results>/comparison/breakdown.csv",
        limits="<results>/comparison/limits.csv",
        impacts="<results>/comparison/impacts.csv",
        coverage="<results>/comparison/coverage.csv",
        robustness="<results>/comparison/robustness.csv",
        held_out="<results>/comparison/held_out.csv",
        fits=each_training("fit.json"),
        notes=each_training("templates_notes.json")
        + each_training("workspace_notes.json"),
        figures=collect(
            "<results>/comparison/{figure}.svg",
            figure=[
                *slices.report.COMPARISON_FIGURES,
                *slices.bootstrap.figures(settings),
                *slices.studies.figures(settings),
                *slices.inference.map_figures(settings),
            ],
        )
        + collect(
            "<results>/trainings/{training}/figures/{figure}.svg",
            training=settings.trainings,
            figure=slices.report.training_figures(settings),
        )
        + collect(
            "<results>/trainings/{training}/figures/closure.svg",
            training=unbinned.trainings(settings),
        ),
        features=input_figures(),
        classifiers="<results>/comparison/classifiers.json",
        judged=["<results>/comparison/classifiers.svg"]
        + collect(
            "<results>/comparison/{figure}.svg",
            figure=slices.review.figures(settings),
        )
        + collect(
            "<results>/trainings/{training}/figures/classifier.svg",
            training=settings.trainings,
        ),
        inputs=collect(
            "<results>/inputs/regions/{region}/content.json", region=settings.regions
        ),
        answers=slices.scenarios.answers(settings)
        + slices.bootstrap.tables(settings)
        + slices.studies.tables(settings)
        + slices.inference.map_tables(settings)
        + [
            "<results>/comparison/what_if.csv",
            "<results>/comparison/classifiers.csv",
            "<results>/comparison/importance.csv",
        ]
        + slices.review.tables(settings),
        what_if="<results>/comparison/what_if.json",
        trials=[
            path for name in settings.tune for path in tuned_files(name, "trials.csv")
        ],
        closures=collect(
            "<results>/trainings/{training}/seed{seed}/closure.json",
            training=unbinned.trainings(settings),
            seed=seeds,
        ),
        published=collect(
            "<results>/trainings/{training}/seed1/likelihood/likelihood.json",
            training=unbinned.trainings(settings),
        ),
    output:
        report=report(
            "<results>/report.html", caption="../report/report.rst", category="Report"
        ),
        summary=report(
            "<results>/summary.pdf", caption="../report/report.rst", category="Report"
        ),
    log:
        "<logs>/write_report.log",
    benchmark:
        "<benchmarks>/write_report.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        runtime="30m",
    params:
        settings=sections.plain(slices.report.report(settings)),
        code=sources.digest("write_report"),
    message:
        "Write the report"
    script:
        "../../scripts/write_report.py"


rule record_provenance:
    input:
        report="<results>/report.html",
    output:
        crate="<results>/ro-crate-metadata.json",
        configuration="<results>/config.yaml",
    log:
        "<logs>/record_provenance.log",
    benchmark:
        "<benchmarks>/record_provenance.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        runtime="2h",
    params:
        title=settings.plots.title,
        code=sources.digest("record_provenance"),
    message:
        "Record the provenance"
    script:
        "../../scripts/record_provenance.py"


rule write_publication:
    input:
        trainings="<results>/comparison/trainings.csv",
        breakdown="<results>/comparison/breakdown.csv",
        coverage="<results>/comparison/coverage.csv",
        fits=each_training("fit.json"),
        studies=slices.studies.tables(settings),
        figures=collect(
            "<results>/comparison/{figure}.pdf",
            figure=slices.report.published_figures(settings),
        ),
        workspaces=collect(
            "<results>/trainings/{training}/seed1/workspace.json",
            training=slices.inference.of_one_workspace(settings),
        ),
    output:
        submission="<results>/hepdata/submission.yaml",
        tables=collect(
            "<results>/hepdata/{table}.yaml",
            table=slices.report.published_tables(settings),
        ),
        resources=collect(
            "<results>/hepdata/{name}",
            name=slices.report.published_files(settings),
        ),
        documents=report(
            collect(
                "<results>/latex/{document}.tex",
                document=slices.report.latex_documents(settings),
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
