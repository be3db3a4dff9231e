// report.html: one page, no script, nothing loaded from anywhere.
#include "ir/base/alloc.h"
#include "runtime/json.h"
#include "runtime/report/html.h"
#include "runtime/report/summary.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// Colours are those of Okabe and Ito, which colour-blind people can tell apart, lighter where the page is
// dark.
static const char STYLE[] =
    ":root{color-scheme:light dark;--page:#fff;--text:#1d2127;--pale:#667;--line:#d8dce2;--card:#f4f6f8;"
    "--c1:#0072b2;--c2:#d55e00;--c3:#009e73;--c4:#a0528a}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#15181c;--text:#e3e6ea;--pale:#9aa3ad;--line:#363c44;--"
    "card:#1f242a;"
    "--c1:#56b4e9;--c2:#f0975a;--c3:#4fd1a5;--c4:#d99bc6}}\n"
    "body{margin:0 auto;padding:24px 20px 60px;max-width:960px;background:var(--page);color:var(--text);"
    "font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}\n"
    "h1{font-size:26px;margin:0}h2{font-size:19px;margin:40px 0 10px;border-bottom:1px solid var(--line)}\n"
    "p,li{max-width:70ch}small,.pale{color:var(--pale)}\n"
    "dl.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0}\n"
    "dl.tiles div{background:var(--card);border-radius:8px;padding:8px 14px}\n"
    "dl.tiles dt{color:var(--pale);font-size:13px}dl.tiles dd{margin:0;font-size:20px}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}.scroll{overflow-x:auto}\n"
    "caption{text-align:left;color:var(--pale);padding:4px 0}\n"
    "th,td{padding:3px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}\n"
    "th{max-width:34ch}th.left{max-width:56ch}nav{margin:18px 0}nav a{margin-right:16px}a{color:var(--c1)}\n"
    ".wide th,.wide td{padding:3px 7px;font-size:14px}.wide th{vertical-align:bottom}\n"
    ".matrix th,.matrix td{padding:2px 5px;font-size:13px}.matrix "
    "th[scope=row]{max-width:30ch;overflow:hidden;"
    "text-overflow:ellipsis;white-space:nowrap;text-align:left}\n"
    "td.name{text-align:left;max-width:22ch}td.long{overflow-wrap:anywhere}\n"
    "th.left,td.left{text-align:left}td.text{text-align:left;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "td.code{text-align:left;white-space:pre;font:13px/1.5 ui-monospace,monospace}\n"
    "td.right{color:var(--c3);font-weight:600}\n"
    "figure{margin:16px 0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}\n"
    "svg text{font-size:12px;fill:var(--pale)}svg .end{text-anchor:end}svg .mid{text-anchor:middle}\n"
    "svg path{fill:none;stroke:var(--line)}svg .line path{stroke:currentColor;stroke-width:2}\n"
    "svg .faint path{stroke-width:1;opacity:.35}svg circle{fill:currentColor}svg .cloud circle{opacity:.5}\n"
    "svg .area path{fill:currentColor;stroke:none;opacity:.6}svg rect{fill:currentColor}\n"
    ".c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}\n"
    ".bar{display:inline-block;height:10px;background:var(--c1);border-radius:2px;min-width:1px}\n"
    "td.bars{text-align:left;width:200px}.forward{background:var(--c1)}.recompute{background:var(--c4)}."
    "backward{background:var(--c2)}"
    ".update{background:var(--c3)}\n";

// --- pieces -------------------------------------------------------------------------------------------

static void write_tile(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void write_tile(FILE *out, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    vfprintf(out, format, args);
    fputs("</dd></div>\n", out);
    va_end(args);
}

static void write_bar(FILE *out, const char *color, double share) {
    if (share > 0) fprintf(out, "<span class=\"bar %s\" style=\"width:%.1f%%\"></span>", color, share * 100);
}

// A number with the letters that its size asks for: "12.3 MB".
static void write_bytes(FILE *out, double bytes) {
    if (bytes >= 1e9) {
        fprintf(out, "%.2f GB", bytes / 1e9);
    } else {
        fprintf(out, "%.1f MB", bytes / 1e6);
    }
}

static void write_duration(FILE *out, double seconds) {
    long long s = (long long)(seconds + 0.5);
    if (seconds < 10) {
        fprintf(out, "%.1f s", seconds);
    } else if (s < 60) {
        fprintf(out, "%lld s", s);
    } else if (s < 3600) {
        fprintf(out, "%lld min %02lld s", s / 60, s % 60);
    } else {
        fprintf(out, "%lld h %02lld min", s / 3600, s / 60 % 60);
    }
}

// --- the head -----------------------------------------------------------------------------------------

static const cJSON *last_line(const ftc_summary *s) {
    return ftc_json_last(s->result->state.history.lines);
}

static void write_head(const ftc_summary *s, FILE *out) {
    char *name = ftc_summary_base_name(s->options->output), *data = ftc_summary_base_name(s->train_file);
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'\">\n"
          "<title>",
          out);
    ftc_html_text(out, name);
    fprintf(out, " – training report</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", STYLE);
    ftc_html_text(out, name);
    fprintf(out, "</h1>\n<p class=\"pale\">%s, ", s->program->model);
    if (s->base_model) {
        fputs("fine-tuned from ", out);
        ftc_html_text(out, s->base_model);
    } else {
        fputs("from random weights", out);
    }
    fputs(", on ", out);
    ftc_html_text(out, data);
    fputs("</p>\n", out);
    free(name);
    free(data);
}

static void write_tiles(const ftc_summary *s, FILE *out) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    const cJSON *end = last_line(s);
    const ftc_train_state *state = &s->result->state;
    fputs("<dl class=\"tiles\">\n", out);
    if (e && e->scoring == FTC_SCORE_CLASSES)
        write_tile(out, "Test accuracy", "%.2f&nbsp;%%", e->classes.accuracy * 100);
    if (e && e->scoring == FTC_SCORE_SPANS) write_tile(out, "Test F1 of spans", "%.4f", e->spans.micro.f1);
    if (e && e->scoring == FTC_SCORE_LABELS) {
        write_tile(out, "All labels right", "%.2f&nbsp;%%", e->labels.accuracy * 100);
        write_tile(out, "F1, micro", "%.4f", e->labels.f1_micro);
    }
    if (e && e->scoring == FTC_SCORE_VALUES) write_tile(out, "Test Pearson", "%.4f", e->values.pearson);
    if (e) write_tile(out, "Test loss", "%.4f", e->loss);
    write_tile(out, "Epochs", "%.4g", ftc_summary_value(end, "epoch"));
    write_tile(out, "Steps", "%lld", (long long)state->step);
    fputs("<div><dt>Time</dt><dd>", out);
    write_duration(out, ftc_summary_value(end, "train_runtime"));
    fputs("</dd></div>\n", out);
    write_tile(out, "Tokens a second", "%.0f", ftc_summary_value(end, "train_tokens_per_second"));
    fputs("<div><dt>Memory, at most</dt><dd>", out);
    write_bytes(out, (double)s->peak_rss_bytes);
    fputs("</dd></div>\n</dl>\n", out);
}

static ftc_status write_results(const ftc_summary *s, FILE *out) {
    const cJSON *line = ftc_summary_next_evaluation(s->result->state.history.lines->child), *entry;
    char title[64];
    if (!line) {
        fputs("<p>Nothing was evaluated: there were no test rows (<code>--test FILE</code> or "
              "<code>--split-test "
              "N</code>).</p>\n",
              out);
        return FTC_STATUS_OK;
    }
    fputs("<div class=\"scroll\"><table class=\"wide\">\n<caption>Training loss and accuracy are means over "
          "the epoch so "
          "far, with dropout, while the weights "
          "changed.</caption>\n<tr><th>Epoch</th><th>Step</th><th>Training "
          "loss</th><th>Training accuracy</th><th>Test loss</th>",
          out);
    cJSON_ArrayForEach(entry, line) {
        if (!ftc_summary_is_score(entry)) continue;
        ftc_summary_title(entry->string, title, sizeof title);
        fprintf(out, "<th>%s</th>", title);
    }
    fputs("</tr>\n", out);
    for (; line; line = ftc_summary_next_evaluation(line->next)) {
        double loss = ftc_summary_value(line, "epoch_loss"),
               accuracy = ftc_summary_value(line, "train_accuracy");
        fprintf(out, "<tr><td>%.4g</td><td>%.0f</td>", ftc_summary_value(line, "epoch"),
                ftc_summary_value(line, "step"));
        isnan(loss) ? fputs("<td>–</td>", out) : fprintf(out, "<td>%.4f</td>", loss);
        isnan(accuracy) ? fputs("<td>–</td>", out) : fprintf(out, "<td>%.4f</td>", accuracy);
        fprintf(out, "<td>%.4f</td>", ftc_summary_value(line, "eval_loss"));
        cJSON_ArrayForEach(entry, line) {
            if (ftc_summary_is_score(entry)) fprintf(out, "<td>%.4f</td>", entry->valuedouble);
        }
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
    return FTC_STATUS_OK;
}

// --- the curves ---------------------------------------------------------------------------------------

// What the loop kept of its steps beside the log, which tells only what it is asked to.
static double curve_value(const ftc_curve_point *point, const char *name) {
    return strcmp(name, "loss") == 0            ? point->loss
           : strcmp(name, "grad_norm") == 0     ? point->grad_norm
           : strcmp(name, "learning_rate") == 0 ? point->learning_rate
                                                : NAN;
}

// The values of `name` over the steps: those that the loop kept, else those of the log. To be freed.
static ftc_point *collect(const ftc_summary *s, const char *name, int64_t *n) {
    const ftc_curve *curve = &s->result->state.curve;
    const cJSON *history = s->result->state.history.lines, *line;
    ftc_point *points = ftc_alloc((size_t)(cJSON_GetArraySize(history) + curve->n) + 1, sizeof *points);
    *n = 0;
    for (int64_t i = 0; i < curve->n; i++) {
        double value = curve_value(&curve->points[i], name);
        if (isfinite(value)) points[(*n)++] = (ftc_point){curve->points[i].step, value};
    }
    if (*n) return points;
    cJSON_ArrayForEach(line, history) {
        double value = ftc_summary_value(line, name);
        if (isfinite(value)) points[(*n)++] = (ftc_point){ftc_summary_value(line, "step"), value};
    }
    return points;
}

// The mean of each point and those before it, `window` in all. To be freed.
static ftc_point *smooth(const ftc_point *points, int64_t n, int64_t window) {
    ftc_point *means = ftc_alloc((size_t)n + 1, sizeof *means);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += points[i].y;
        if (i >= window) sum -= points[i - window].y;
        means[i] = (ftc_point){points[i].x, sum / (double)(i < window ? i + 1 : window)};
    }
    return means;
}

// All curves have the same axis of steps.
static double last_step(const ftc_summary *s) {
    return ftc_summary_value(last_line(s), "step");
}

// "Test loss from 1.61 to 0.94. "
static void describe(const char *name, const ftc_point *points, int64_t n, char *text, size_t bytes) {
    if (n > 0) snprintf(text, bytes, "%s from %.3g to %.3g. ", name, points[0].y, points[n - 1].y);
}

static void write_loss(const ftc_summary *s, FILE *out) {
    int64_t n, n_test, window;
    ftc_point *loss = collect(s, "loss", &n), *test = collect(s, "eval_loss", &n_test);
    window = n / 40 > 1 ? n / 40 : 1;
    int64_t width = s->result->state.curve.width > 1 ? s->result->state.curve.width : 1;
    ftc_point *means = smooth(loss, n, window);
    char name[64] = "training", text[160] = "";
    if (window > 1) snprintf(name, sizeof name, "training, mean of %lld", (long long)(window * width));
    describe("Training loss", means, n, text, sizeof text);
    describe("Test loss", test, n_test, text + strlen(text), sizeof text - strlen(text));
    const ftc_series series[] = {{"training", FTC_SERIES_FAINT, 1, loss, window > 1 ? n : 0},
                                 {name, FTC_SERIES_LINE, 1, means, n},
                                 {"test", FTC_SERIES_DOTS, 2, test, n_test}};
    ftc_html_chart(out, &(ftc_chart){.title = "Loss",
                                     .summary = text,
                                     .x_name = "step",
                                     .x_from_zero = true,
                                     .x_to = last_step(s),
                                     .y_name = "loss",
                                     .series = series,
                                     .n_series = 3});
    free(loss);
    free(test);
    free(means);
}

// One or two values of the log against the step, as dots or as a line.
typedef struct {
    const char *title, *y_name;
    const char *names[2], *values[2]; // of the legend, of the log
    ftc_series_style style;
    bool y_from_zero;
} curve;

static void write_curve(const ftc_summary *s, const curve *c, FILE *out) {
    ftc_series series[2];
    ftc_point *points[2] = {NULL, NULL};
    char text[200] = "";
    int n_series = 0;
    for (int i = 0; i < 2 && c->values[i]; i++) {
        int64_t n;
        points[i] = collect(s, c->values[i], &n);
        series[n_series++] = (ftc_series){c->names[i], c->style, i + 1, points[i], n};
        describe(c->names[i], points[i], n, text + strlen(text), sizeof text - strlen(text));
    }
    ftc_html_chart(out, &(ftc_chart){.title = c->title,
                                     .summary = text,
                                     .x_name = "step",
                                     .x_from_zero = true,
                                     .x_to = last_step(s),
                                     .y_name = c->y_name,
                                     .y_from_zero = c->y_from_zero,
                                     .series = series,
                                     .n_series = n_series});
    free(points[0]);
    free(points[1]);
}

static ftc_status write_curves(const ftc_summary *s, FILE *out) {
    static const curve CURVES[] = {
        {"Accuracy",
         "share",
         {"training", "test"},
         {"train_accuracy", "eval_accuracy"},
         FTC_SERIES_DOTS,
         false},
        {"Correlation",
         "coefficient",
         {"Pearson", "Spearman"},
         {"eval_pearson", "eval_spearmanr"},
         FTC_SERIES_DOTS,
         false},
        {"Learning rate", "rate", {"learning rate", NULL}, {"learning_rate", NULL}, FTC_SERIES_LINE, true},
        {"Norm of the gradient", "norm", {"norm", NULL}, {"grad_norm", NULL}, FTC_SERIES_LINE, true},
    };
    write_loss(s, out);
    for (size_t i = 0; i < sizeof CURVES / sizeof *CURVES; i++) write_curve(s, &CURVES[i], out);
    return FTC_STATUS_OK;
}

// --- the data -----------------------------------------------------------------------------------------

static void write_lengths(const ftc_summary *s, FILE *out) {
    enum { BARS = 40 };
    int64_t longest = 0, sum = 0, counts[BARS] = {0};
    for (int64_t i = 0; i < s->train->n; i++) {
        int64_t n = ftc_dataset_length(s->train, i);
        sum += n;
        if (n > longest) longest = n;
    }
    int64_t width = longest / BARS + 1;
    for (int64_t i = 0; i < s->train->n; i++) counts[ftc_dataset_length(s->train, i) / width]++;
    char text[160];
    snprintf(text, sizeof text, "%lld examples of %.1f tokens on average, %lld at most",
             (long long)s->train->n, (double)sum / (double)s->train->n, (long long)longest);
    ftc_html_histogram(out, &(ftc_histogram){.title = "Length of the training examples",
                                             .summary = text,
                                             .x_name = "tokens",
                                             .y_name = "examples",
                                             .counts = counts,
                                             .n = (int)(longest / width + 1),
                                             .width = width});
    fprintf(out, "<p>%s; texts are cut at %d.</p>\n", text, s->max_length);
}

static void write_padding(const ftc_summary *s, FILE *out) {
    const ftc_train_state *state = &s->result->state;
    int64_t full = state->examples_seen * s->max_length;
    const struct {
        const char *name;
        int64_t tokens;
    } ROWS[] = {{"computed: no padding", state->tokens_seen},
                {"padded to the longest of each batch", state->tokens_padded},
                {"padded to the most tokens a text may have", full}};
    if (state->tokens_seen == 0) return;
    fputs(
        "<table>\n<caption>Tokens of the whole training, and how many there would be with padding</caption>\n"
        "<tr><th class=\"left\">Batches</th><th>Tokens</th><th>of them padding</th><td></td></tr>\n",
        out);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        double share = 1 - (double)state->tokens_seen / (double)ROWS[i].tokens;
        fprintf(out, "<tr><td class=\"left\">%s</td><td>%lld</td><td>%.1f %%</td><td class=\"bars\">",
                ROWS[i].name, (long long)ROWS[i].tokens, share * 100);
        write_bar(out, "", (double)ROWS[i].tokens / (double)full);
        fputs("</td></tr>\n", out);
    }
    fputs("</table>\n", out);
}

static ftc_status write_texts(const ftc_summary *s, FILE *out) {
    write_lengths(s, out);
    write_padding(s, out);
    return FTC_STATUS_OK;
}

// --- time and memory ----------------------------------------------------------------------------------

// The time of a kernel in one step, on average.
typedef struct {
    const char *name;
    const ftc_kernel_info *info; // NULL: not known
    double ms;
} kernel_time;

// All kernels of the entries that were called, in their order. To be freed.
static kernel_time *list_kernels(const ftc_summary *s, int64_t *n) {
    const ftc_train_result *r = s->result;
    double cycles = 0;
    int64_t most = 0;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        for (int32_t k = 0; k < s->program->entries[i].n_kernels; k++) cycles += r->profile.cycles[i][k];
        most += s->program->entries[i].n_kernels;
    }
    kernel_time *list = ftc_alloc((size_t)most + 1, sizeof *list);
    *n = 0;
    for (int i = 0; i < FTC_ENTRY_COUNT && cycles > 0; i++) {
        const ftc_entry *entry = &s->program->entries[i];
        double sum = 0;
        for (int32_t k = 0; k < entry->n_kernels; k++) sum += r->profile.cycles[i][k];
        for (int32_t k = 0; k < entry->n_kernels && sum > 0; k++) {
            list[(*n)++] =
                (kernel_time){entry->kernels[k], entry->kernel_info ? &entry->kernel_info[k] : NULL,
                              r->profile.cycles[i][k] / cycles * r->step_seconds / (double)r->steps * 1e3};
        }
    }
    return list;
}

static int by_time(const void *a, const void *b) {
    const kernel_time *x = a, *y = b;
    return (x->ms < y->ms) - (x->ms > y->ms);
}

static void write_kernels(kernel_time *kernels, int64_t n, double total, FILE *out) {
    enum { SHOWN = 20 };
    int64_t shown = n < SHOWN ? n : SHOWN;
    double rest = total;
    qsort(kernels, (size_t)n, sizeof *kernels, by_time);
    fputs("<div class=\"scroll\"><table>\n<caption>The kernels that take longest</caption>\n<tr><th "
          "class=\"left\">Kernel</th><th class=\"left\">Phase</th><th>Line</th><th>ms a "
          "step</th><th>share</th><td></td></tr>\n",
          out);
    for (int64_t i = 0; i < shown; i++) {
        const kernel_time *k = &kernels[i];
        const char *phase = k->info ? ftc_phase_name(k->info->phase) : "";
        rest -= k->ms;
        fprintf(out, "<tr><td class=\"left\">%s</td><td class=\"left\">%s</td><td>", k->name, phase);
        if (k->info && k->info->line) fprintf(out, "%d", k->info->line);
        fprintf(out, "</td><td>%.3f</td><td>%.1f %%</td><td class=\"bars\">", k->ms, k->ms / total * 100);
        write_bar(out, phase, k->ms / kernels[0].ms);
        fputs("</td></tr>\n", out);
    }
    if (n > shown) {
        fprintf(out,
                "<tr><td class=\"left\">%lld others</td><td></td><td></td><td>%.3f</td><td>%.1f "
                "%%</td><td></td></tr>\n",
                (long long)(n - shown), rest, rest / total * 100);
    }
    fputs("</table></div>\n", out);
}

static double sum_of(const double *ms) {
    double sum = 0;
    for (int p = 0; p < FTC_PHASE_COUNT; p++) sum += ms[p];
    return sum;
}

// The model's text, and beside each line the time that its kernels take.
static void write_source_times(const ftc_summary *s, const kernel_time *kernels, int64_t n, double total,
                               FILE *out) {
    int32_t lines = 0;
    for (int64_t i = 0; i < n; i++) {
        if (kernels[i].info && kernels[i].info->line > lines) lines = kernels[i].info->line;
    }
    if (!lines || !s->program->source) return;
    double(*ms)[FTC_PHASE_COUNT] = ftc_alloc((size_t)lines + 1, sizeof *ms), most = 0;
    for (int64_t i = 0; i < n; i++) {
        const ftc_kernel_info *info = kernels[i].info;
        if (info) ms[info->line][info->phase] += kernels[i].ms;
    }
    for (int32_t l = 1; l <= lines; l++) most = fmax(most, sum_of(ms[l]));
    fputs("<div class=\"scroll\"><table>\n<caption>Time by line of the model: <span class=\"c1\">■</span> "
          "forward, "
          "<span class=\"c4\">■</span> computed once more, <span class=\"c2\">■</span> backward, <span "
          "class=\"c3\">■</span> update. A kernel counts where its contraction stands, or else its result; "
          "what is "
          "fused into it comes along.</caption>\n"
          "<tr><th>Line</th><th class=\"left\">Text</th><th>ms a step</th><th>share</th><td></td></tr>\n",
          out);
    const char *text = s->program->source;
    for (int32_t l = 1; l <= lines && *text; l++) {
        size_t bytes = strcspn(text, "\n");
        double sum = sum_of(ms[l]);
        if (sum > 0) {
            char *line = ftc_strndup(text, bytes);
            fprintf(out, "<tr><td>%d</td><td class=\"code\">", l);
            ftc_html_text(out, line);
            fprintf(out, "</td><td>%.3f</td><td>%.1f %%</td><td class=\"bars\">", sum, sum / total * 100);
            for (int p = 0; p < FTC_PHASE_COUNT; p++)
                write_bar(out, ftc_phase_name((ftc_phase)p), ms[l][p] / most * 0.98);
            fputs("</td></tr>\n", out);
            free(line);
        }
        text += bytes + (text[bytes] == '\n');
    }
    double elsewhere = sum_of(ms[0]);
    if (elsewhere > 0) {
        fprintf(out,
                "<tr><td></td><td class=\"left\">made by the compiler</td><td>%.3f</td><td>%.1f "
                "%%</td><td></td></tr>\n",
                elsewhere, elsewhere / total * 100);
    }
    fputs("</table></div>\n", out);
    free(ms);
}

static double tensor_bytes(const ftc_program *program, ftc_tensor_role role) {
    double sum = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role == role) sum += (double)ftc_tensor_bytes(t);
    }
    return sum;
}

static void write_live_bytes(const kernel_time *kernels, int64_t n, FILE *out) {
    ftc_point *live = ftc_alloc((size_t)n + 2, sizeof *live);
    double ms = 0, most = 0;
    int64_t points = 0;
    for (int64_t i = 0; i < n && kernels[i].info; i++) {
        live[points++] = (ftc_point){ms, (double)kernels[i].info->live_bytes / 1e6};
        most = fmax(most, (double)kernels[i].info->live_bytes / 1e6);
        ms += kernels[i].ms;
    }
    if (points) {
        live[points] = (ftc_point){ms, live[points - 1].y};
        points++;
    }
    char text[160];
    snprintf(text, sizeof text, "at most %.1f MB are live at once, %.1f MB at the end of the step", most,
             points ? live[points - 1].y : 0);
    const ftc_series series[] = {{"live", FTC_SERIES_STEPS, 1, live, points}};
    ftc_html_chart(out,
                   &(ftc_chart){.title = "Intermediate values in memory over one step, for the largest batch",
                                .summary = text,
                                .x_name = "ms",
                                .y_name = "MB",
                                .y_from_zero = true,
                                .series = series,
                                .n_series = 1});
    free(live);
}

static void write_memory_table(const ftc_summary *s, FILE *out) {
    uint32_t entries = ftc_train_entries(s->options, s->test != NULL);
    bool accumulates = entries & 1u << FTC_ENTRY_GRAD;
    double moments = (double)ftc_model_role_bytes(s->program, FTC_ROLE_MOMENT, entries, s->slice), arena = 0;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        const ftc_entry *e = &s->program->entries[i];
        if (entries & 1u << i)
            arena = fmax(arena, (double)e->arena_bytes + (double)(s->threads * e->scratch_bytes));
    }
    const struct {
        const char *name;
        double bytes;
    } ROWS[] = {{"parameters", tensor_bytes(s->program, FTC_ROLE_PARAM)},
                {"the optimizer's state", moments},
                {"gradients", accumulates ? tensor_bytes(s->program, FTC_ROLE_GRADIENT) : 0},
                {"intermediate values", arena},
                {"the whole process, at most", (double)s->peak_rss_bytes}};
    fputs("<table>\n", out);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        if (ROWS[i].bytes == 0) continue;
        fprintf(out, "<tr><th class=\"left\">%s</th><td>", ROWS[i].name);
        write_bytes(out, ROWS[i].bytes);
        fputs("</td></tr>\n", out);
    }
    fputs("</table>\n", out);
}

static ftc_status write_memory(const ftc_summary *s, FILE *out) {
    int64_t n;
    kernel_time *kernels = list_kernels(s, &n);
    write_live_bytes(kernels, n, out);
    write_memory_table(s, out);
    free(kernels);
    return FTC_STATUS_OK;
}

static ftc_status write_time(const ftc_summary *s, FILE *out) {
    int64_t n;
    kernel_time *kernels = list_kernels(s, &n);
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += kernels[i].ms;
    fprintf(out, "<p>A step takes %.1f ms on %d thread%s (%s); the model was compiled in %.2f s.</p>\n",
            total, s->threads, s->threads == 1 ? "" : "s",
            s->program->features ? s->program->features : "this CPU", s->program->compile_seconds);
    if (s->slice.count > 1) {
        const cJSON *end = last_line(s);
        fprintf(
            out,
            "<p>During %.1f ms of a step each of %lld processes exchanges gradients and new weights with the "
            "others; in %.0f&nbsp;%% of that time it computes. It sends %.1f MB a step.</p>\n",
            ftc_summary_value(end, "train_exchange_seconds_per_step") * 1e3, (long long)s->slice.count,
            ftc_summary_value(end, "train_exchange_hidden") * 100,
            ftc_summary_value(end, "train_bytes_sent_per_step") / 1e6);
    }
    write_source_times(s, kernels, n, total, out);
    write_kernels(kernels, n, total, out);
    free(kernels);
    return FTC_STATUS_OK;
}

// --- the test -----------------------------------------------------------------------------------------

static void write_label(const ftc_summary *s, int64_t label, FILE *out) {
    char number[24];
    ftc_html_text(out, ftc_summary_label(s, label, number));
}

// A label with all of its name under the pointer, where only the beginning is seen.
static void write_row_head(const ftc_summary *s, int64_t label, bool with_number, FILE *out) {
    fputs("<tr><th scope=\"row\" title=\"", out);
    write_label(s, label, out);
    fputs("\">", out);
    if (with_number) fprintf(out, "<span class=\"pale\">%lld</span> ", (long long)label);
    write_label(s, label, out);
    fputs("</th>", out);
}

// Whether names are so short that columns can be headed by them; else they are by numbers.
static bool are_names_short(const ftc_summary *s, int64_t n) {
    enum { MOST_LETTERS = 60 };
    size_t letters = 0;
    char number[24];
    for (int64_t k = 0; k < n; k++) letters += strlen(ftc_summary_label(s, k, number));
    return letters <= MOST_LETTERS;
}

static void write_matrix(const ftc_summary *s, const ftc_evaluation *e, FILE *out) {
    int64_t n = e->columns;
    bool by_name = are_names_short(s, n);
    fprintf(out,
            "<div class=\"scroll\"><table class=\"matrix\">\n<caption>Confusion matrix: rows are labels, "
            "columns are predictions%s; the last column is the share of the label that was found</caption>\n"
            "<tr><td></td>",
            by_name ? "" : ", by the numbers that stand before the labels");
    for (int64_t k = 0; k < n; k++) {
        fputs("<th scope=\"col\" title=\"", out);
        write_label(s, k, out);
        fputs("\">", out);
        if (by_name)
            write_label(s, k, out);
        else
            fprintf(out, "%lld", (long long)k);
        fputs("</th>", out);
    }
    fputs("<th scope=\"col\">found</th></tr>\n", out);
    for (int64_t i = 0; i < n; i++) {
        const int64_t *row = e->confusion + i * n;
        int64_t sum = 0;
        for (int64_t k = 0; k < n; k++) sum += row[k];
        write_row_head(s, i, !by_name, out);
        for (int64_t k = 0; k < n; k++) {
            double share = sum ? (double)row[k] / (double)sum : 0;
            fprintf(out,
                    "<td%s style=\"background:color-mix(in srgb,var(--c%d) %.0f%%,transparent)\">%lld</td>",
                    i == k ? " class=\"right\"" : "", i == k ? 3 : 2, share * 45, (long long)row[k]);
        }
        if (sum) {
            fprintf(out, "<td>%.1f&nbsp;%%</td></tr>\n", 100.0 * (double)row[i] / (double)sum);
        } else {
            fputs("<td>–</td></tr>\n", out);
        }
    }
    fputs("</table></div>\n", out);
}

// Examples of one label with another one as prediction.
typedef struct {
    int64_t label, prediction, examples;
} confused;

static int by_examples(const void *a, const void *b) {
    const confused *x = a, *y = b;
    if (x->examples != y->examples) return x->examples < y->examples ? 1 : -1;
    int64_t at_x = x->label - y->label, at = at_x ? at_x : x->prediction - y->prediction;
    return (at > 0) - (at < 0);
}

// In place of a matrix that no page has room for.
static void write_most_confused(const ftc_summary *s, const ftc_evaluation *e, FILE *out) {
    enum { SHOWN = 20 };
    int64_t n = e->columns, found = 0;
    confused *list = ftc_alloc((size_t)e->samples + 1, sizeof *list);
    for (int64_t i = 0; i < n * n; i++) {
        if (i / n == i % n || e->confusion[i] == 0) continue;
        list[found++] = (confused){i / n, i % n, e->confusion[i]};
    }
    qsort(list, (size_t)found, sizeof *list, by_examples);
    if (found)
        fputs("<div class=\"scroll\"><table class=\"names\">\n<caption>What is most often taken for what"
              "</caption>\n<tr><th class=\"left\">Label</th><th class=\"left\">Prediction</th>"
              "<th>Examples</th></tr>\n",
              out);
    for (int64_t i = 0; i < found && i < SHOWN; i++) {
        fputs("<tr><td class=\"left\">", out);
        write_label(s, list[i].label, out);
        fputs("</td><td class=\"left\">", out);
        write_label(s, list[i].prediction, out);
        fprintf(out, "</td><td>%lld</td></tr>\n", (long long)list[i].examples);
    }
    if (found) fputs("</table></div>\n", out);
    free(list);
}

static void write_one_scores(const ftc_one_class_scores *s, FILE *out) {
    fprintf(out, "</th><td>%.4f</td><td>%.4f</td><td>%.4f</td><td>%lld</td></tr>\n", s->precision, s->recall,
            s->f1, (long long)s->support);
}

static ftc_status write_each(const ftc_summary *s, FILE *out) {
    static const char HEAD[] = "<tr><th scope=\"row\" class=\"left\">";
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    const ftc_evaluation_table table = ftc_evaluation_table_of(e);
    char row[16], support[16], number[24];
    ftc_summary_title(table.row, row, sizeof row);
    ftc_summary_title(table.support, support, sizeof support);
    fprintf(out,
            "<div class=\"scroll\"><table>\n<caption>By %s: the share of what was said to be of it that is, "
            "of what is of it that was found, and their harmonic mean</caption>\n<tr><th class=\"left\">%s"
            "</th><th>Precision</th><th>Recall</th><th>F1</th><th>%s</th></tr>\n",
            table.row, row, support);
    for (int64_t k = 0; k < e->n_each; k++) {
        fputs(HEAD, out);
        ftc_html_text(out, ftc_summary_row(s, e, k, number));
        write_one_scores(&e->each[k], out);
    }
    for (int i = 0; i < table.n_means; i++) {
        fprintf(out, "%s%s", HEAD, table.means[i].name);
        write_one_scores(&table.means[i].scores, out);
    }
    fputs("</table></div>\n", out);
    return FTC_STATUS_OK;
}

static void write_scatter(const ftc_summary *s, const ftc_evaluation *e, FILE *out) {
    ftc_point *points = ftc_alloc((size_t)e->samples + 1, sizeof *points);
    for (int64_t i = 0; i < e->samples; i++)
        points[i] = (ftc_point){(double)s->test->labels[i], (double)e->logits[i]};
    char text[120];
    snprintf(text, sizeof text, "%lld examples, Pearson %.3f, Spearman %.3f", (long long)e->samples,
             e->values.pearson, e->values.spearman);
    const ftc_series series[] = {{"prediction", FTC_SERIES_CLOUD, 1, points, e->samples}};
    ftc_html_chart(out, &(ftc_chart){.title = "Predictions",
                                     .summary = text,
                                     .x_name = "label",
                                     .y_name = "prediction",
                                     .series = series,
                                     .n_series = 1});
    free(points);
}

// A test example that the model gets wrong.
typedef struct {
    int64_t index;      // of the evaluation
    int64_t prediction; // class
    double loss;        // cross-entropy, or squared error
    double probability; // of the prediction
} mistake;

static int by_loss(const void *a, const void *b) {
    const mistake *x = a, *y = b;
    if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static mistake judge(const ftc_evaluation *e, int64_t index, float label) {
    const float *logits = e->logits + index * e->columns;
    if (e->scoring == FTC_SCORE_VALUES) {
        double error = (double)logits[0] - (double)label;
        return (mistake){.index = index, .loss = error * error};
    }
    int32_t best = ftc_argmax(logits, e->columns);
    double sum = 0;
    for (int64_t k = 0; k < e->columns; k++) sum += exp((double)logits[k] - (double)logits[best]);
    double log_sum = log(sum) + (double)logits[best];
    return (mistake){index, best, log_sum - (double)logits[(int64_t)label], 1 / sum};
}

// The mistakes, worst first. To be freed.
static mistake *list_mistakes(const ftc_summary *s, const ftc_evaluation *e, int64_t *n) {
    mistake *list = ftc_alloc((size_t)e->samples + 1, sizeof *list);
    *n = 0;
    for (int64_t i = 0; i < e->samples; i++) {
        mistake m = judge(e, i, s->test->labels[i]);
        if (e->scoring == FTC_SCORE_VALUES || m.prediction != (int64_t)s->test->labels[i]) list[(*n)++] = m;
    }
    qsort(list, (size_t)*n, sizeof *list, by_loss);
    return list;
}

// A cell for a label: one that is a word too long for its column is broken anywhere.
static void begin_name(const ftc_summary *s, int64_t label, FILE *out) {
    enum { MOST_LETTERS = 22 };
    char number[24];
    size_t longest = 0;
    for (const char *at = ftc_summary_label(s, label, number); *at;) {
        size_t word = strcspn(at, " ");
        if (word > longest) longest = word;
        at += word + (at[word] == ' ');
    }
    fprintf(out, "<td class=\"name%s\">", longest > MOST_LETTERS ? " long" : "");
}

static void write_answer(const ftc_summary *s, const ftc_evaluation *e, const mistake *m, FILE *out) {
    float label = s->test->labels[m->index];
    if (e->scoring == FTC_SCORE_VALUES) {
        fprintf(out, "<td>%.4g</td><td>%.4g</td>", (double)label, (double)e->logits[m->index]);
        return;
    }
    begin_name(s, (int64_t)label, out);
    write_label(s, (int64_t)label, out);
    fputs("</td>", out);
    begin_name(s, m->prediction, out);
    write_label(s, m->prediction, out);
    fprintf(out, "<br><small>%.1f %%</small></td>", m->probability * 100);
}

// What the model was given; of a model that reads no text, where it stands in the file.
static void write_example(const ftc_row *row, int64_t index, FILE *out) {
    enum { MOST_CHARACTERS = 700 };
    fputs("<td class=\"text\"><bdi>", out);
    if (row->text)
        ftc_html_excerpt(out, row->text, MOST_CHARACTERS);
    else
        fprintf(out, "row %lld", (long long)index + 1);
    if (row->pair) {
        fputs("</bdi><hr><bdi>", out);
        ftc_html_excerpt(out, row->pair, MOST_CHARACTERS);
    }
    fputs("</bdi></td></tr>\n", out);
}

static ftc_status write_mistakes(const ftc_summary *s, const ftc_evaluation *e, FILE *out) {
    enum { SHOWN = 20 };
    int64_t n;
    mistake *list = list_mistakes(s, e, &n);
    ftc_row row = {0};
    ftc_status status = FTC_STATUS_OK;
    if (e->scoring == FTC_SCORE_CLASSES)
        fprintf(out, "<p>%lld of %lld test examples are misclassified.</p>\n", (long long)n,
                (long long)e->samples);
    if (n == 0 || !s->test_table) {
        free(list);
        return status;
    }
    fprintf(out,
            "<div "
            "class=\"scroll\"><table class=\"names\">\n<caption>%s</caption>\n<tr><th>Loss</th><th "
            "class=\"left\">Label</th><th class=\"left\">Prediction</th>"
            "<th class=\"left\">Example</th></tr>\n",
            e->scoring == FTC_SCORE_VALUES
                ? "The largest errors"
                : "The worst of them: those whose label the model thought least likely");
    for (int64_t i = 0; i < n && i < SHOWN && status.code == FTC_OK; i++) {
        status = ftc_table_read(s->test_table, (size_t)s->test_rows[list[i].index], &row);
        if (status.code != FTC_OK) break;
        fprintf(out, "<tr><td>%.3f</td>", list[i].loss);
        write_answer(s, e, &list[i], out);
        write_example(&row, s->test_rows[list[i].index], out);
    }
    fputs("</table></div>\n", out);
    ftc_row_free(&row);
    free(list);
    return status;
}

static void write_which_evaluation(const ftc_summary *s, FILE *out) {
    fprintf(out, "<p class=\"pale\">Of the evaluation at step %lld.</p>\n",
            (long long)s->result->evaluation_step);
}

// Whether the page, of 1000 pixels, has room for the matrix: some 250 for labels and shares, and for each
// class the digits of its counts.
static bool has_room_for_matrix(const ftc_evaluation *e) {
    enum { ROOM = 670, DIGIT = 8, PADDING = 10 };
    int64_t n = e->columns, most = 10, digits = 1;
    for (int64_t i = 0; i < n * n; i++) most = e->confusion[i] > most ? e->confusion[i] : most;
    for (; most >= 10; most /= 10) digits++;
    return n * (digits * DIGIT + PADDING) <= ROOM;
}

static ftc_status write_confusions(const ftc_summary *s, FILE *out) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    write_which_evaluation(s, out);
    (has_room_for_matrix(e) ? write_matrix : write_most_confused)(s, e, out);
    return write_mistakes(s, e, out);
}

static ftc_status write_predictions(const ftc_summary *s, FILE *out) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    write_which_evaluation(s, out);
    write_scatter(s, e, out);
    return write_mistakes(s, e, out);
}

// --- the page -----------------------------------------------------------------------------------------

static void write_fact(void *context, const char *name, const char *value) {
    fprintf(context, "<tr><th class=\"left\">%s</th><td class=\"left\">", name);
    ftc_html_text(context, value);
    fputs("</td></tr>\n", context);
}

static ftc_status write_hyperparameters(const ftc_summary *s, FILE *out) {
    fputs("<table>\n", out);
    ftc_summary_hyperparameters(s, write_fact, out);
    fputs("</table>\n", out);
    return FTC_STATUS_OK;
}

static bool always(const ftc_summary *s) {
    return s != NULL;
}

static bool has_texts(const ftc_summary *s) {
    return ftc_dataset_tokens(s->train) > 0;
}

static bool is_scored_as(const ftc_summary *s, ftc_scoring scoring) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    return e && e->scoring == scoring;
}

static bool has_each_class(const ftc_summary *s) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    return e && e->each && !e->types;
}

static bool has_types(const ftc_summary *s) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    return e && e->types;
}

static bool has_classes(const ftc_summary *s) {
    return is_scored_as(s, FTC_SCORE_CLASSES);
}

static bool has_values(const ftc_summary *s) {
    return is_scored_as(s, FTC_SCORE_VALUES);
}

static bool has_times(const ftc_summary *s) {
    int64_t n;
    free(list_kernels(s, &n));
    return n > 0;
}

static const struct {
    const char *id, *title;
    bool (*is_there)(const ftc_summary *summary);
    ftc_status (*write)(const ftc_summary *summary, FILE *out);
} SECTIONS[] = {
    {"evaluations", "Evaluations", always, write_results},
    {"curves", "Curves", always, write_curves},
    {"lengths", "Lengths and padding", has_texts, write_texts},
    {"classes", "Classes", has_each_class, write_each},
    {"types", "Types of spans", has_types, write_each},
    {"confusions", "Confusions and mistakes", has_classes, write_confusions},
    {"predictions", "Predictions", has_values, write_predictions},
    {"memory", "Memory", always, write_memory},
    {"time", "Time", has_times, write_time},
    {"hyperparameters", "Hyperparameters", always, write_hyperparameters},
};

ftc_status ftc_report_write(const ftc_summary *s, FILE *out) {
    enum { COUNT = sizeof SECTIONS / sizeof *SECTIONS };
    write_head(s, out);
    write_tiles(s, out);
    fputs("<nav>", out);
    for (int i = 0; i < COUNT; i++)
        if (SECTIONS[i].is_there(s))
            fprintf(out, "<a href=\"#%s\">%s</a>\n", SECTIONS[i].id, SECTIONS[i].title);
    fputs("</nav>\n", out);
    for (int i = 0; i < COUNT; i++) {
        if (!SECTIONS[i].is_there(s)) continue;
        fprintf(out, "<h2 id=\"%s\">%s</h2>\n", SECTIONS[i].id, SECTIONS[i].title);
        FTC_RETURN_IF_ERROR(SECTIONS[i].write(s, out));
    }
    fputs("</main>\n</body>\n</html>\n", out);
    return FTC_STATUS_OK;
}
