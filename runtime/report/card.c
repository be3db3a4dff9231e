// The model card, in the form of those that transformers' Trainer writes:
// https://github.com/huggingface/transformers/blob/main/src/transformers/modelcard.py
#include "ir/base/alloc.h"
#include "runtime/report/summary.h"
#include "runtime/text/shown.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// JSON strings are YAML strings.
static void write_quoted(FILE *out, const char *text) {
    cJSON *string = cJSON_CreateString(text);
    char *quoted = cJSON_PrintUnformatted(string);
    fputs(quoted, out);
    free(quoted);
    cJSON_Delete(string);
}

// The line of the evaluation whose weights were saved; NULL: none.
static const cJSON *saved_evaluation(const ftc_summary *s) {
    const cJSON *line = s->result->state.history.lines->child, *found = NULL;
    while ((line = ftc_summary_next_evaluation(line))) {
        if (ftc_summary_value(line, "step") == (double)s->result->evaluation_step) found = line;
        line = line->next;
    }
    return found;
}

// What Hugging Face's hub calls the task, in headings and for its pipelines.
typedef struct {
    const char *title, *tag;
} hub_task;

static hub_task task_of(const ftc_summary *s) {
    if (ftc_program_texts_per_row(s->program) > 1)
        return (hub_task){"Sentence Similarity", "sentence-similarity"};
    return ftc_program_label(s->program) == FTC_LABEL_TOKENS
               ? (hub_task){"Token Classification", "token-classification"}
               : (hub_task){"Text Classification", "text-classification"};
}

static void write_front_matter(const ftc_summary *s, const char *name, const cJSON *evaluation, FILE *out) {
    char title[64];
    const cJSON *entry;
    hub_task task = task_of(s);
    bool of_pairs = ftc_program_texts_per_row(s->program) > 1;
    fprintf(out, "---\nlibrary_name: %s\npipeline_tag: %s\n",
            s->is_adapter ? "peft"
            : of_pairs    ? "sentence-transformers"
                          : "transformers",
            task.tag);
    if (s->base_model) {
        fputs("base_model: ", out);
        write_quoted(out, s->base_model);
        fputc('\n', out);
    }
    fprintf(out, "tags:\n- %s\n- ftc\n", task.tag);
    if (evaluation) {
        fputs("metrics:\n", out);
        cJSON_ArrayForEach(entry, evaluation) {
            if (ftc_summary_is_score(entry)) fprintf(out, "- %s\n", entry->string + 5);
        }
    }
    fputs("model-index:\n- name: ", out);
    write_quoted(out, name);
    if (!evaluation) {
        fputs("\n  results: []\n---\n", out);
        return;
    }
    char *data = ftc_summary_base_name(s->test_file ? s->test_file : s->train_file);
    fprintf(out,
            "\n  results:\n  - task:\n      name: %s\n      type: %s\n"
            "    dataset:\n      name: ",
            task.title, task.tag);
    write_quoted(out, data);
    fputs("\n      type: text\n    metrics:\n", out);
    cJSON_ArrayForEach(entry, evaluation) {
        if (!ftc_summary_is_score(entry)) continue;
        ftc_summary_title(entry->string, title, sizeof title);
        fprintf(out, "    - name: %s\n      type: %s\n      value: %.6g\n", title, entry->string + 5,
                entry->valuedouble);
    }
    fputs("---\n", out);
    free(data);
}

static void write_results(const ftc_summary *s, FILE *out) {
    const cJSON *line = ftc_summary_next_evaluation(s->result->state.history.lines->child), *entry;
    char title[64];
    if (!line) return;
    fputs("\n### Training results\n\n| Training Loss | Training Accuracy | Epoch | Step | Validation Loss |",
          out);
    cJSON_ArrayForEach(entry, line) {
        if (!ftc_summary_is_score(entry)) continue;
        ftc_summary_title(entry->string, title, sizeof title);
        fprintf(out, " %s |", title);
    }
    fputs("\n|:---:|:---:|:---:|:---:|:---:|", out);
    cJSON_ArrayForEach(entry, line)
        if (ftc_summary_is_score(entry)) fputs(":---:|", out);
    fputc('\n', out);
    for (; line; line = ftc_summary_next_evaluation(line->next)) {
        double loss = ftc_summary_value(line, "epoch_loss"),
               accuracy = ftc_summary_value(line, "train_accuracy");
        fputs("| ", out);
        isnan(loss) ? fputs("No log", out) : fprintf(out, "%.4f", loss);
        fputs(" | ", out);
        isnan(accuracy) ? fputs("-", out) : fprintf(out, "%.4f", accuracy);
        fprintf(out, " | %.6g | %.0f | %.4f |", ftc_summary_value(line, "epoch"),
                ftc_summary_value(line, "step"), ftc_summary_value(line, "eval_loss"));
        cJSON_ArrayForEach(entry, line)
            if (ftc_summary_is_score(entry)) fprintf(out, " %.4f |", entry->valuedouble);
        fputc('\n', out);
    }
}

// A name within a table's cell: it means itself.
static void write_cell(const char *name, FILE *out) {
    char *shown = ftc_shown(name);
    for (const char *at = shown; *at; at++) {
        if (strchr("\\`*_[]<>&|~", *at)) fputc('\\', out);
        fputc(*at, out);
    }
    free(shown);
}

static void write_class_row(const ftc_one_class_scores *s, FILE *out) {
    fprintf(out, " | %.4f | %.4f | %.4f | %lld |\n", s->precision, s->recall, s->f1, (long long)s->support);
}

static void write_classes(const ftc_summary *s, FILE *out) {
    const ftc_evaluation *e = ftc_summary_evaluation(s);
    if (!e || !e->each) return;
    const ftc_evaluation_table table = ftc_evaluation_table_of(e);
    char row[16], support[16];
    ftc_summary_title(table.row, row, sizeof row);
    ftc_summary_title(table.support, support, sizeof support);
    fprintf(out, "\n### Results by %s\n\n| %s | Precision | Recall | F1 | %s |\n|:---|---:|---:|---:|---:|\n",
            table.row, row, support);
    for (int64_t k = 0; k < e->n_each; k++) {
        char number[24];
        fputs("| ", out);
        write_cell(ftc_summary_row(s, e, k, number), out);
        write_class_row(&e->each[k], out);
    }
    for (int i = 0; i < table.n_means; i++) {
        fprintf(out, "| *%s*", table.means[i].name);
        write_class_row(&table.means[i].scores, out);
    }
}

static void write_item(void *context, const char *name, const char *value) {
    char *shown = ftc_shown(value);
    fprintf(context, "- %s: %s\n", name, shown);
    free(shown);
}

static void write_labels(const ftc_summary *s, FILE *out) {
    if (ftc_program_texts_per_row(s->program) > 1) {
        fputs("An example is two texts that belong together.\n", out);
        return;
    }
    if (s->labels->kind == FTC_LABELS_NUMBERS) {
        fputs("The model predicts a number.\n", out);
        return;
    }
    char *described = ftc_labels_describe(s->labels);
    fprintf(out, "Labels, as the data names them: %s.\n", described);
    free(described);
}

static char *shown_base_name(const char *path) {
    char *name = ftc_summary_base_name(path), *shown = ftc_shown(name);
    free(name);
    return shown;
}

void ftc_card_write(const ftc_summary *s, FILE *out) {
    char *name = shown_base_name(s->options->output), *data = shown_base_name(s->train_file), title[64];
    const cJSON *evaluation = saved_evaluation(s), *entry;
    write_front_matter(s, name, evaluation, out);
    fputs("\n<!-- This card was written by ftc at the end of the training. Proofread and complete it, then "
          "remove this "
          "comment. -->\n",
          out);
    fprintf(out, "\n# %s\n\n", name);
    if (s->base_model) {
        char *base = ftc_shown(s->base_model);
        fprintf(out, "This model is a version of %s, fine-tuned on %s.\n", base, data);
        free(base);
    } else {
        fprintf(out, "This model (%s) was trained from random weights on %s.\n", s->program->model, data);
    }
    if (evaluation) {
        fprintf(out, "It achieves the following results on the evaluation set:\n- Loss: %.4f\n",
                ftc_summary_value(evaluation, "eval_loss"));
        cJSON_ArrayForEach(entry, evaluation) {
            if (!ftc_summary_is_score(entry)) continue;
            ftc_summary_title(entry->string, title, sizeof title);
            fprintf(out, "- %s: %.4f\n", title, entry->valuedouble);
        }
    }
    fputs("\n## Model description\n\nMore information needed\n\n## Intended uses & limitations\n\nMore "
          "information "
          "needed\n\n## Training and evaluation data\n\n",
          out);
    fprintf(out, "%lld examples for training", (long long)s->train->n);
    if (s->test) fprintf(out, ", %lld for evaluation", (long long)s->test->n);
    fprintf(out, "; at most %d tokens each.\n", s->max_length);
    write_labels(s, out);
    fputs("\n## Training procedure\n\n### Training hyperparameters\n\nThe following hyperparameters were "
          "used during "
          "training:\n",
          out);
    ftc_summary_hyperparameters(s, write_item, out);
    write_results(s, out);
    write_classes(s, out);
    free(name);
    free(data);
}
