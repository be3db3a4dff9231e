// The model card and the report: what they say, and that no text can break out of its place.
#include "runtime/report/html.h"
#include "runtime/report/summary.h"
#include "runtime/text/shown.h"
#include "tests/bag_model.h"
#include "tests/scratch.h"

#include <math.h>

// --- text and charts ----------------------------------------------------------------------------------

// What `expr`, which writes to `out`, writes. To be freed.
#define WRITTEN(expr)                                                                                        \
    __extension__({                                                                                          \
        char *text_ = NULL;                                                                                  \
        size_t bytes_ = 0;                                                                                   \
        FILE *out = open_memstream(&text_, &bytes_);                                                         \
        cr_assert_not_null(out);                                                                             \
        expr;                                                                                                \
        fclose(out);                                                                                         \
        text_;                                                                                               \
    })

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

static void assert_has(const char *text, const char *part) {
    cr_assert(strstr(text, part), "\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part) {
    const char *found = strstr(text, part);
    cr_assert_null(found, "\"%s\" is in the text: %.60s", part, found);
}

Test(html, text_means_itself) {
    static const char *const CASES[][2] = {
        {"plain", "plain"},
        {"<script>alert(\"1\" & '2')</script>",
         "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;"},
        {"&amp;", "&amp;amp;"},
        {"two\nlines\r\nand\rmore\t", "two\nlines\nand\nmore\t"},
        {"bell \x07, escape \x1b[1m, delete \x7f", "bell \uFFFD, escape \uFFFD[1m, delete \uFFFD"},
        {"naïve 日本語 🙂", "naïve 日本語 🙂"},
        {"\u202eright\xC2\x9B", "\uFFFDright\uFFFD"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = WRITTEN(ftc_html_text(out, CASES[i][0]));
        cr_assert_str_eq(text, CASES[i][1]);
        free(text);
    }
}

// The log of a run that is resumed comes from a file: names of scores are words.
Test(summary, scores_are_named_by_words) {
    cJSON *line =
        cJSON_Parse("{\"eval_f1\": 0.5, \"eval_pearson\": null, \"eval_f1<b>\": 1, \"eval_a: b\": 1,"
                    " \"eval_a|b\": 1, \"eval_loss\": 1, \"loss\": 1, \"eval_top5_hits\": 2}");
    const cJSON *entry;
    int n = 0;
    cJSON_ArrayForEach(entry, line) {
        bool is = strcmp(entry->string, "eval_f1") == 0 || strcmp(entry->string, "eval_top5_hits") == 0;
        cr_expect_eq(ftc_summary_is_score(entry), is, "%s", entry->string);
        n += is;
    }
    cr_expect_eq(n, 2);
    cJSON_Delete(line);
}

Test(shown, what_is_hidden_is_escaped) {
    static const char *const CASES[][2] = {
        {"plain naïve 日本語 🙂 back\\slash", "plain naïve 日本語 🙂 back\\slash"},
        {"\x1b[2J\x7f\x07", "\\x1b[2J\\x7f\\x07"},
        {"a\nb\tc\r", "a\\nb\\tc\\r"},
        {"\xC2\x9B"
         "31m, \u202egnp.exe, \u2028",
         "\\x9b31m, \\u202egnp.exe, \\u2028"},
        {"\x9b\xff", "\\x9b\\xff"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = ftc_shown(CASES[i][0]);
        cr_assert_str_eq(text, CASES[i][1]);
        free(text);
    }
    char *lines = WRITTEN(ftc_shown_write(out, "a\n\tb\x1b", 5, false));
    cr_assert_str_eq(lines, "a\n\tb\\x1b");
    free(lines);
}

Test(shown, columns_of_a_terminal) {
    static const struct {
        const char *text;
        int most, columns;
        size_t bytes;
    } CASES[] = {
        {"plain", 9, 5, 5},  {"plain", 3, 3, 3},    {"naïve", 3, 3, 4},
        {"日本語", 5, 4, 6}, {"e\u0301t", 1, 1, 3}, {"", 4, 0, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        size_t bytes;
        cr_expect_eq(ftc_shown_columns(CASES[i].text, CASES[i].most, &bytes), CASES[i].columns);
        cr_expect_eq(bytes, CASES[i].bytes, "%s: %zu bytes", CASES[i].text, bytes);
    }
}

Test(html, an_excerpt_ends_between_characters) {
    char *whole = WRITTEN(ftc_html_excerpt(out, "日本<語", 4)),
         *part = WRITTEN(ftc_html_excerpt(out, "日本<語話", 3));
    cr_assert_str_eq(whole, "日本&lt;語");
    cr_assert_str_eq(part, "日本&lt;… <small>(2 more characters)</small>");
    free(whole);
    free(part);
}

Test(html, a_chart_shows_its_series) {
    static const ftc_point FALLING[] = {{1, 2}, {2, 1.5}, {3, 1}}, TEST[] = {{3, 1.25}};
    const ftc_series series[] = {{"train", FTC_SERIES_LINE, 1, FALLING, 3},
                                 {"te<st", FTC_SERIES_DOTS, 2, TEST, 1},
                                 {"absent", FTC_SERIES_LINE, 3, NULL, 0}};
    const ftc_chart chart = {.title = "Loss & more",
                             .summary = "falls",
                             .x_name = "step",
                             .y_name = "loss",
                             .series = series,
                             .n_series = 3};
    char *text = WRITTEN(ftc_html_chart(out, &chart));
    cr_assert_eq(count(text, "<svg"), 1);
    cr_assert_eq(count(text, "</svg>"), 1);
    cr_assert_eq(count(text, "<g"), count(text, "</g>"));
    assert_has(text, "aria-label=\"Loss &amp; more: falls\"");
    assert_has(text, "te&lt;st: 1.25 at step 3");
    assert_has(text, "d=\"M72.0 30.0L389.0 129.0L706.0 228.0\""); // the corners of the plot, and its middle
    assert_lacks(text, "absent");
    assert_lacks(text, "nan");
    free(text);
}

Test(html, a_chart_of_one_value_or_none_is_whole) {
    static const ftc_point POINT[] = {{5, 0}};
    const ftc_series one = {"a", FTC_SERIES_STEPS, 1, POINT, 1}, none = {"a", FTC_SERIES_LINE, 1, NULL, 0};
    ftc_chart chart = {
        .title = "t", .summary = "s", .x_name = "x", .y_name = "y", .series = &one, .n_series = 1};
    char *text = WRITTEN(ftc_html_chart(out, &chart));
    cr_assert_eq(count(text, "</svg>"), 1);
    assert_lacks(text, "nan");
    assert_lacks(text, "inf");
    free(text);
    chart.series = &none;
    text = WRITTEN(ftc_html_chart(out, &chart));
    cr_assert_str_eq(text, "");
    free(text);
}

// No two lines of the grid say the same.
static void assert_lines_have_names(const char *text) {
    static const char END[] = "class=\"end\">";
    char last[40] = "";
    for (const char *at = text; (at = strstr(at, END));) {
        at += strlen(END);
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "<"), at);
        cr_assert_str_neq(name, last);
        strcpy(last, name);
    }
}

// Two values of all kinds, which an axis has to have a step for: there are a few lines, and they lie apart.
Test(html, any_axis_has_a_few_lines, .timeout = 20) {
    static const double PAIRS[][2] = {
        {1 - 0x1p-53, 1},
        {1, 1 + 0x1p-52},
        {0, 5e-324},
        {-5e-324, 5e-324},
        {1e-300, 1e-300},
        {-1e308, 1e308},
        {1e308, 1e308},
        {1e300, 1e300 * (1 + 1e-15)},
        {1e15, 1e15 + 0.125},
        {-1, -1 + 0x1p-53},
        {1, 1 + 2e-9},
        {2.48501, 2.48512},
        {3.912, 3.91201},
        {1e9, 1e9 + 2},
        {123456789, 123456789.5},
        {0, 1e-289},
        {-3, 1e-17},
        {0x1p-1074, 0x1p-1073},
        {0, 1},
        {-1e290, 1e-290},
        {0.1, 0.3},
        {-0.0, 0.0},
    };
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        const double *p = PAIRS[i];
        const ftc_point points[] = {{p[0], p[0]}, {p[1], p[1]}};
        const ftc_series series[] = {{"s", FTC_SERIES_LINE, 1, points, 2}};
        char *text = WRITTEN(ftc_html_chart(
            out,
            &(ftc_chart){
                .title = "t", .summary = "", .x_name = "x", .y_name = "y", .series = series, .n_series = 1}));
        int rows = count(text, "class=\"grid\""), columns = count(text, "v5\"");
        if (p[1] - p[0] > 1e-6 * fmax(fabs(p[0]), fabs(p[1]))) assert_lines_have_names(text);
        cr_expect(rows >= 2 && rows <= 20, "%g and %g: %d lines", p[0], p[1], rows);
        cr_expect(columns >= 2 && columns <= 32, "%g and %g: %d ticks", p[0], p[1], columns);
        assert_lacks(text, "nan");
        free(text);
    }
}

Test(html, many_points_become_few) {
    enum { N = 5000 };
    static ftc_point points[N];
    for (int i = 0; i < N; i++) points[i] = (ftc_point){i, i % 2};
    const ftc_series series = {"a", FTC_SERIES_LINE, 1, points, N};
    const ftc_chart chart = {
        .title = "t", .summary = "s", .x_name = "x", .y_name = "y", .series = &series, .n_series = 1};
    char *text = WRITTEN(ftc_html_chart(out, &chart));
    cr_assert_lt(strlen(text), 15000);
    free(text);
}

Test(html, a_histogram_counts) {
    static const int64_t COUNTS[] = {0, 3, 1};
    const ftc_histogram histogram = {"Lengths", "some", "tokens", "examples", COUNTS, 3, 10};
    char *text = WRITTEN(ftc_html_histogram(out, &histogram));
    cr_assert_eq(count(text, "<rect"), 2);
    assert_has(text, "10 to 19: 3");
    assert_has(text, "20 to 29: 1");
    free(text);
}

// --- a run's files ------------------------------------------------------------------------------------

// The rows behind bag_dataset's examples, whose texts try to break out.
static char *write_rows(const char *dir, const ftc_dataset *test) {
    char *text = WRITTEN({
        fputs("text,label\r\n", out);
        for (int64_t i = 0; i < test->n; i++) {
            fprintf(out, "\"</td><script>row%lld()</script> & \"\"quoted\"\"\nsecond line\",%d\r\n",
                    (long long)i, (int)test->labels[i]);
        }
    });
    char *path = test_write(dir, "rows.csv", text, strlen(text));
    free(text);
    return path;
}

// Two kernels, of which the step's first takes three times as long as its second.
static const char *const KERNELS[] = {"dot1", "rows2"};
static const ftc_kernel_info INFOS[] = {{.line = 1, .phase = FTC_PHASE_FORWARD, .live_bytes = 3000000},
                                        {.phase = FTC_PHASE_UPDATE, .live_bytes = 1000000}};

static ftc_program program_with_kernels(void) {
    ftc_program program = BAG_PROGRAM;
    ftc_entry *entry = &program.entries[FTC_ENTRY_STEP];
    entry->n_kernels = 2;
    entry->kernels = KERNELS;
    entry->kernel_info = INFOS;
    return program;
}

// Trains for two epochs and reads the files that tell of it; both to be freed.
static void summarize(bool with_report, char **card, char **report) {
    char *dir = test_directory(), *output = ftc_path_join(dir, "my <model>");
    ftc_program program = program_with_kernels();
    ftc_dataset train = bag_dataset(60, 1), test = bag_dataset(30, 2);
    char *path = write_rows(dir, &test);
    ftc_table *table;
    ASSERT_OK(ftc_table_open(path, &(ftc_table_options){0}, &table));
    char *names[] = {"no", "may&be", "yes"};
    ftc_labels labels = {FTC_LABELS_NAMES, false, BAG_CLASSES, BAG_CLASSES, names, names};
    int64_t rows[30];
    for (int i = 0; i < 30; i++) rows[i] = i;

    ftc_train_options options = ftc_train_options_native();
    options.epochs = 2;
    options.lr = 0.02;
    options.output = output;
    ftc_threads *pool;
    ftc_model_state state;
    ftc_train_result result;
    ASSERT_OK(ftc_threads_create(1, &pool));
    ASSERT_OK(ftc_model_state_create(&program, ftc_train_entries(&options, true), &ftc_world_alone, &state));
    ftc_model_state_init(&state, 1);
    const ftc_model_files files = {.config.n_labels = BAG_CLASSES};
    const ftc_training training = {.program = &program,
                                   .state = &state,
                                   .threads = pool,
                                   .train = &train,
                                   .test = &test,
                                   .options = &options,
                                   .files = &files};
    ASSERT_OK(ftc_train(&training, &result));
    result.profile.cycles[FTC_ENTRY_STEP][0] = 750;
    result.profile.cycles[FTC_ENTRY_STEP][1] = 250;
    const ftc_summary summary = {.program = &program,
                                 .options = &options,
                                 .result = &result,
                                 .base_model = "org/base",
                                 .train_file = "data/train.csv",
                                 .test_file = "data/rows.csv",
                                 .labels = &labels,
                                 .train = &train,
                                 .test_table = table,
                                 .test_rows = rows,
                                 .test = &test,
                                 .max_length = BAG_MAX_LENGTH,
                                 .threads = 1,
                                 .slice = FTC_ALL_ROWS,
                                 .peak_rss_bytes = 5000000};
    ASSERT_OK(ftc_summary_save(&summary, with_report));

    size_t bytes;
    char *card_path = ftc_path_join(output, "README.md"), *report_path = ftc_path_join(output, "report.html");
    ASSERT_OK(ftc_file_read(card_path, card, &bytes));
    *report = NULL;
    if (with_report) ASSERT_OK(ftc_file_read(report_path, report, &bytes));
    cr_assert_eq(ftc_file_exists(report_path), with_report);
    free(card_path);
    free(report_path);
    ftc_train_result_free(&result);
    ftc_model_state_free(&state);
    ftc_threads_free(pool);
    ftc_table_close(table);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
    free(path);
    free(output);
    scratch_free(dir);
}

Test(summary, the_report_tells_the_run) {
    char *card, *report;
    summarize(true, &card, &report);
    static const char *const PARTS[] = {
        "<a href=\"#classes\">Classes</a>",
        "<h2 id=\"classes\">Classes</h2>",
        "<title>my &lt;model&gt; – training report</title>",
        "fine-tuned from org/base, on train.csv",
        "<figcaption>Loss</figcaption>",
        "<figcaption>Accuracy</figcaption>",
        "<figcaption>Learning rate</figcaption>",
        "<figcaption>Norm of the gradient</figcaption>",
        "<figcaption>Length of the training examples</figcaption>",
        "padded to the longest of each batch",
        "Intermediate values in memory over one step",
        "at most 3.0 MB are live at once",
        "<td class=\"left\">dot1</td><td class=\"left\">forward</td><td>1</td>",
        "75.0 %",
        "model bag", // line 1 of the source, with the time of its kernel
        "Confusion matrix",
        "may&amp;be</th>",
        "<th scope=\"row\" class=\"left\">may&amp;be</th><td>0.",
        "<th scope=\"row\" class=\"left\">mean of examples</th>",
        "&lt;/td&gt;&lt;script&gt;row",
        "&amp; &quot;quoted&quot;\nsecond line",
        "learning_rate",
        "</html>",
    };
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) assert_has(report, PARTS[i]);
    static const char *const NEVER[] = {"<script", "http:", "https:", "src=", "url(",
                                        "@import", ">nan",  ">inf",   "-nan"};
    for (size_t i = 0; i < sizeof NEVER / sizeof *NEVER; i++) assert_lacks(report, NEVER[i]);
    cr_assert_eq(count(report, "<table"), count(report, "</table>"));
    cr_assert_eq(count(report, "<tr>"), count(report, "</tr>"));
    cr_assert_eq(count(report, "<figure>"), count(report, "</figure>"));
    free(card);
    free(report);
}

Test(summary, the_worst_mistakes_come_first) {
    char *card, *report;
    summarize(true, &card, &report);
    double last = INFINITY;
    int rows = 0;
    const char *at = strstr(report, "The worst of them");
    cr_assert_not_null(at);
    while ((at = strstr(at, "<tr><td>"))) {
        double loss = strtod(at + strlen("<tr><td>"), NULL);
        if (strstr(at, "class=\"text\"") == NULL) break; // the next section's table
        cr_assert_leq(loss, last);
        cr_assert_gt(loss, 0.69); // of three classes, one thought likelier than the label
        last = loss;
        rows++;
        at++;
    }
    int wrong = 0;
    at = strstr(report, " of 30 test examples are misclassified");
    cr_assert_not_null(at);
    while (at[-1] != '>') at--;
    wrong = atoi(at);
    cr_assert_gt(wrong, 0);
    cr_assert_eq(rows, wrong < 20 ? wrong : 20);
    free(card);
    free(report);
}

Test(summary, the_card_is_one_of_trainers) {
    char *card, *report;
    summarize(false, &card, &report);
    static const char *const PARTS[] = {
        "---\nlibrary_name: transformers\n",
        "base_model: \"org/base\"\n",
        "metrics:\n- accuracy\n",
        "model-index:\n- name: \"my <model>\"\n",
        "      name: \"rows.csv\"\n",
        "    - name: Matthews Correlation\n      type: matthews_correlation\n",
        "\n# my <model>\n",
        "- learning_rate: 0.02\n",
        "- train_batch_size: 8\n",
        "- optimizer: adamw with betas=(0.9,0.999) and epsilon=1e-08\n",
        "- lr_scheduler_type: linear\n",
        "- num_epochs: 2\n",
        "    - name: Roc Auc\n      type: roc_auc\n",
        "\n### Results by class\n",
        "\n| may\\&be | 0.",
        "\n| *mean of classes* | 0.",
        " | 1 | 8 | ", // epochs and steps: 60 examples in batches of 8
        " | 2 | 16 | "};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) assert_has(card, PARTS[i]);
    free(card);
}

Test(summary, names_are_told_as_titles) {
    char title[64];
    ftc_summary_title("eval_matthews_correlation", title, sizeof title);
    cr_assert_str_eq(title, "Matthews Correlation");
    ftc_summary_title("eval_f1", title, sizeof title);
    cr_assert_str_eq(title, "F1");
    char *name = ftc_summary_base_name("some/where/");
    cr_assert_str_eq(name, "where");
    free(name);
}
